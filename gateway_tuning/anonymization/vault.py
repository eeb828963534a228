"""The way back from pseudonyms, encrypted, and destroyed by destroying one key.

Entries lie in batches that are only ever added. A batch is encrypted by AES-256-GCM under the tenant's data
key; the data key lies beside them, wrapped by a key of the settings. Whoever has one of the two keys only, or
the objects only, learns nothing. Without a vault nothing leads back.
"""

import hmac
import json
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway_tuning.anonymization.masking import AnonymizedRecord
from gateway_tuning.anonymization.mentions.values import fold_value
from gateway_tuning.anonymization.policy import Action, AnonymizationPolicy
from gateway_tuning.anonymization.vault_entry import VaultEntry, of_row, to_row
from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    missing_extra,
)
from gateway_tuning.storage.object_store import ObjectStore, sha256_hex

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES = 32
_NONCE_BYTES = 12
_KEY_ID_BYTES = 8
_KEYS_MAGIC = b"GTVK1"
_BATCH_MAGIC = b"GTVB1"


@dataclass(frozen=True, slots=True)
class VaultPlace:
    """Object keys of one tenant's vault; `batch` gives that of a batch with the sha256 of its bytes.

    Batches lie below `batches` and nothing else does. `name` ties the vault's bytes to the tenant.
    """

    name: str
    keys: str
    batches: str
    batch: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Keys:
    """Data keys by role. `pending` encrypts what replaces the batches; batches of `retired` ids are leftovers."""

    current: bytes
    pending: bytes | None = None
    retired: tuple[str, ...] = ()


class Vault:
    """One tenant's. Any number may write at a time; `forget`, `sweep` and `destroy` must run alone."""

    def __init__(self, store: ObjectStore, place: VaultPlace, wrapping_key: bytes) -> None:
        """Raises ConfigurationError: the wrapping key does not have 32 bytes."""
        if len(wrapping_key) != _KEY_BYTES:
            raise ConfigurationError(
                f"The vault's wrapping key has {len(wrapping_key)} bytes; give {_KEY_BYTES} random ones, as from "
                "`openssl rand -hex 32`"
            )
        self._store = store
        self._place = place
        self._wrapping = _cipher(wrapping_key)

    def write(self, entries: Iterable[VaultEntry]) -> None:
        """Add a batch; the same one again changes nothing. A vault without a key begins with a new one.

        Raises:
            IntegrityError: the vault's key is not what this wrapping key wrapped, or is missing.
        """
        unique = dict.fromkeys(entries)
        if unique:
            keys = self._keys() or self._begin()
            self._write_batch(keys.current, unique)

    def reveal(self, pseudonym: str) -> tuple[VaultEntry, ...]:
        """What the pseudonym stands for: an entry for each value of the tenant that has it, and who said it.

        Raises:
            NotFoundError: the vault does not know it, for instance after `forget` or `destroy`.
            IntegrityError: an object is not what this vault wrote, or the wrapping key is another.
        """
        found = dict.fromkeys(entry for entry in self.entries() if entry.pseudonym == pseudonym)
        if not found:
            raise NotFoundError("The vault holds no entry of this pseudonym; nothing leads back from it")
        return tuple(found)

    def entries(self) -> Iterator[VaultEntry]:
        """All, a batch in memory at a time; one that was written twice comes twice."""
        keys = self._keys()
        if keys is not None:
            for entries in self._batches(keys):
                yield from entries

    def forget(self, originals: Collection[str]) -> int:
        """Remove the entries of these values, in any case and spacing; how many were removed.

        An entry goes too if it shares a pseudonym with one of them: it is another spelling of the same.
        What is left is encrypted anew under a new data key, so that an old copy of a batch opens no more. When
        this is killed, what was known is known still, or the values are forgotten; run it again.

        Raises:
            IntegrityError: as `reveal`.
        """
        keys = self._keys()
        if keys is None:
            return 0
        self._sweep(keys)
        gone = {fold_value(value) for value in originals}
        shared = {entry.pseudonym for entry in self.entries() if fold_value(entry.original) in gone}
        changed = _Keys(keys.current, pending=os.urandom(_KEY_BYTES), retired=keys.retired)
        self._save(changed)
        removed = 0
        for entries in self._batches(changed):
            kept = [entry for entry in entries if entry.pseudonym not in shared]
            removed += len(entries) - len(kept)
            if kept and changed.pending is not None:
                self._write_batch(changed.pending, kept)
        if changed.pending is not None:
            done = _Keys(changed.pending, retired=(*keys.retired, _key_id(keys.current).hex()))
            self._save(done)
            self._sweep(done)
        return removed

    def sweep(self) -> None:
        """Delete what a `forget` that was killed left: batches that no key opens any more."""
        keys = self._keys()
        if keys is not None:
            self._sweep(keys)

    def destroy(self) -> None:
        """See the function `destroy`."""
        destroy(self._store, self._place)

    def _begin(self) -> _Keys:
        if self._store.list_keys(self._place.batches):
            raise IntegrityError(
                f"{self._store.uri(self._place.keys)} is missing and batches are there; restore it, or destroy "
                "the vault to begin anew"
            )
        keys = _Keys(os.urandom(_KEY_BYTES))
        try:
            self._store.write_new(self._place.keys, self._wrapped(keys))
        except ConflictError:
            known = self._keys()  # another writer was first
            if known is None:
                raise
            return known
        return keys

    def _save(self, keys: _Keys) -> None:
        self._store.write(self._place.keys, self._wrapped(keys))

    def _wrapped(self, keys: _Keys) -> bytes:
        body = {
            "current": keys.current.hex(),
            "pending": keys.pending.hex() if keys.pending else None,
            "retired": keys.retired,
        }
        nonce = os.urandom(_NONCE_BYTES)
        return (
            _KEYS_MAGIC
            + nonce
            + self._wrapping.encrypt(nonce, json.dumps(body).encode(), self._bound("keys"))
        )

    def _keys(self) -> _Keys | None:
        from cryptography.exceptions import InvalidTag

        try:
            data = self._store.read(self._place.keys)
        except NotFoundError:
            return None
        start = len(_KEYS_MAGIC)
        nonce, sealed = data[start : start + _NONCE_BYTES], data[start + _NONCE_BYTES :]
        try:
            body: dict[str, Any] = json.loads(self._wrapping.decrypt(nonce, sealed, self._bound("keys")))
        except (InvalidTag, ValueError):
            raise IntegrityError(
                f"{self._store.uri(self._place.keys)} does not open: the wrapping key is another, or the object "
                "was changed; set the key it was written with, or restore the object"
            ) from None
        pending = bytes.fromhex(body["pending"]) if body["pending"] else None
        return _Keys(bytes.fromhex(body["current"]), pending, tuple(body["retired"]))

    def _write_batch(self, data_key: bytes, entries: Iterable[VaultEntry]) -> None:
        plain = zlib.compress(json.dumps([to_row(entry) for entry in entries]).encode())
        # Made of the key and the content: a batch that is written again is the same object, and no nonce serves
        # two contents.
        nonce = hmac.digest(hmac.digest(data_key, b"nonce", "sha256"), plain, "sha256")[:_NONCE_BYTES]
        sealed = _cipher(data_key).encrypt(nonce, plain, self._bound("batch"))
        data = _BATCH_MAGIC + _key_id(data_key) + nonce + sealed
        self._store.write_new(self._place.batch(sha256_hex(data)), data)

    def _batches(self, keys: _Keys) -> Iterator[list[VaultEntry]]:
        """Those of the current key."""
        for key in self._store.list_keys(self._place.batches):
            data = self._read_batch(key)
            if self._role(key, data, keys) == "current":
                yield self._opened(key, data, keys.current)

    def _sweep(self, keys: _Keys) -> None:
        """Delete what a change of the data key left: batches under the old one, or under one that never counted."""
        for key in self._store.list_keys(self._place.batches):
            if self._role(key, self._read_batch(key), keys) != "current":
                self._store.delete(key)

    def _read_batch(self, key: str) -> bytes:
        data = self._store.read(key)
        if key != self._place.batch(sha256_hex(data)) or not data.startswith(_BATCH_MAGIC):
            raise IntegrityError(
                f"{self._store.uri(key)} is not the batch that its name says; restore it from a copy"
            )
        return data

    def _role(self, key: str, data: bytes, keys: _Keys) -> str:
        key_id = data[len(_BATCH_MAGIC) : len(_BATCH_MAGIC) + _KEY_ID_BYTES]
        if key_id == _key_id(keys.current):
            return "current"
        if keys.pending is not None and key_id == _key_id(keys.pending):
            return "pending"
        if key_id.hex() in keys.retired:
            return "retired"
        raise IntegrityError(
            f"{self._store.uri(key)} was not written under this vault's key; it belongs elsewhere: move it back, "
            "or delete it"
        )

    def _opened(self, key: str, data: bytes, data_key: bytes) -> list[VaultEntry]:
        from cryptography.exceptions import InvalidTag

        start = len(_BATCH_MAGIC) + _KEY_ID_BYTES
        nonce, sealed = data[start : start + _NONCE_BYTES], data[start + _NONCE_BYTES :]
        try:
            rows = json.loads(zlib.decompress(_cipher(data_key).decrypt(nonce, sealed, self._bound("batch"))))
        except (InvalidTag, ValueError):
            raise IntegrityError(
                f"{self._store.uri(key)} does not open: it was changed; restore it from a copy"
            ) from None
        return [of_row(row) for row in rows]

    def _bound(self, kind: str) -> bytes:
        """Additional data: what was written as one thing for one tenant opens as no other."""
        return f"gateway-tuning vault\x1f{kind}\x1f{self._place.name}".encode()


def destroy(store: ObjectStore, place: VaultPlace) -> None:
    """Delete the data key, which alone makes everything unreadable, then the batches. Safe to run again.

    Needs no wrapping key: a vault whose key was lost can be destroyed too.
    """
    store.delete(place.keys)
    for key in store.list_keys(place.batches):
        store.delete(key)


def entries_of(
    originals: Mapping[str, str],
    record: AnonymizedRecord,
    policy: AnonymizationPolicy,
    *,
    subject: str | None = None,
    said_at: datetime | None = None,
) -> list[VaultEntry]:
    """What a vault should know of a record: `originals` are its texts before, by field."""
    found = (
        VaultEntry(one.text.strip(), one.entity, originals[one.field][one.start : one.end], subject, said_at)
        for one in record.replacements
        if policy.action_for(one.entity) is Action.PSEUDONYM
    )
    return list(dict.fromkeys(found))


def _key_id(data_key: bytes) -> bytes:
    return bytes.fromhex(sha256_hex(b"key id\x1f" + data_key))[:_KEY_ID_BYTES]


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise missing_extra("cryptography", "privacy") from None
    return AESGCM(key)
