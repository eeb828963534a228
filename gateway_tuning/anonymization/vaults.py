"""A tenant's vault: where it lies, who has its turn, and that no erased person comes into it or out of it.

Whoever reads or writes one holds its lease: what `Vault` wants to do alone, it does alone, whatever builds run
meanwhile on whichever machines.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from gateway_tuning.anonymization.vault import Vault, VaultPlace, destroy
from gateway_tuning.anonymization.vault_entry import VaultEntry, earliest, was_erased
from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError
from gateway_tuning.settings import Settings
from gateway_tuning.storage import layout, leases
from gateway_tuning.storage.database import reading
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import UtcDateTime, erasures

KEY_SETTING = "GATEWAY_TUNING_VAULT_KEY"
WAIT_SECONDS = 120.0
_KEY_DIGITS = 64  # 32 bytes in hex
_LEASE_SECONDS = 60.0
_POLL_SECONDS = 0.1
_turns: dict[str, threading.Lock] = {}  # a lease tells processes apart, not threads


def vault_key(settings: Settings) -> bytes | None:
    """None where no vault is kept. Raises ConfigurationError, which quotes nothing of it, when it is no key."""
    if settings.vault_key is None:
        return None
    written = settings.vault_key.get_secret_value().strip()
    try:
        key = bytes.fromhex(written)
    except ValueError:
        key = b""
    if len(written) != _KEY_DIGITS or len(key) * 2 != _KEY_DIGITS:
        raise ConfigurationError(
            f"{KEY_SETTING} is no key: give {_KEY_DIGITS} hexadecimal digits, as from `openssl rand -hex 32`"
        )
    return key


def tenant_hash(tenant: str) -> str:
    return hashlib.sha256(tenant.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def place_of(tenant: str) -> VaultPlace:
    hashed = tenant_hash(tenant)
    return VaultPlace(
        name=tenant,
        keys=layout.vault_keys(hashed),
        batches=layout.vault_batches(hashed),
        batch=lambda sha256: layout.vault_batch(hashed, sha256),
    )


@dataclass(frozen=True, slots=True)
class TenantVault:
    """`key` is that of the setting; None opens nothing, and is enough for `destroy`.

    Every method raises ConflictError when others hold the vault for longer than `wait_seconds`, and each that
    opens it ConfigurationError without a key and IntegrityError as `Vault` does.
    """

    engine: sa.Engine
    objects: ObjectStore
    tenant: str
    key: bytes | None
    wait_seconds: float = WAIT_SECONDS

    @property
    def exists(self) -> bool:
        """Whether there is a data key: without one nothing leads back, whatever batches are left."""
        return self.objects.exists(place_of(self.tenant).keys)

    def write(self, entries: Iterable[VaultEntry]) -> None:
        """Add a batch, save of persons who were erased since they said it: see `forget_erased`."""
        once = earliest(entries)
        if once:
            with self._held():
                erased = self._erased()
                self._opened().write(one for one in once if not was_erased(one, erased))

    def count(self, wanted: Callable[[VaultEntry], bool]) -> int:
        """Entries, of persons with an open erasure too; one that several builds wrote may count several times."""
        with self._held():
            return sum(map(wanted, self._opened().entries()))

    def reveal(self, pseudonym: str) -> tuple[VaultEntry, ...]:
        """What the pseudonym stands for.

        Raises:
            NotFoundError: the vault does not know it, or it stands for a value of an erased person.
        """
        with self._held():
            found, erased = self._opened().reveal(pseudonym), self._erased()
            if any(was_erased(entry, erased) for entry in found):
                raise NotFoundError("The pseudonym stands for a value of a person who was erased")
            return found

    def forget_erased(self) -> int:
        """Remove every value that an erased person said up to their erasure, and say how many entries went.

        A value that others said too goes with it; a build that reads their records writes it again. The erasure's
        tombstone must be committed: then a writer either comes first, and is read here, or later, and leaves
        out what was erased.
        """
        with self._held():
            vault, erased = self._opened(), self._erased()
            said = {one.original for one in vault.entries() if was_erased(one, erased)} if erased else set()
            if said:
                return vault.forget(said)
            if erased:
                vault.sweep()  # what one that was killed left
            return 0

    def destroy(self) -> None:
        """Nothing leads back afterwards. Safe to run again."""
        with self._held():
            destroy(self.objects, place_of(self.tenant))

    def _opened(self) -> Vault:
        if self.key is None:
            raise ConfigurationError(
                f"The vault of tenant {self.tenant} cannot be opened: {KEY_SETTING} is not set. Set it to the key "
                "that the vault was written with, or end the vault by "
                f"`gateway-tuning vault destroy --tenant {self.tenant}`"
            )
        return Vault(self.objects, place_of(self.tenant), self.key)

    def _erased(self) -> dict[str, datetime]:
        """Until when what a subject said is gone."""
        until = sa.func.max(erasures.c.erased_at, type_=UtcDateTime())
        query = sa.select(erasures.c.subject_id, until).where(erasures.c.tenant == self.tenant)
        with reading(self.engine) as connection:
            return dict(connection.execute(query.group_by(erasures.c.subject_id)).tuples().all())

    @contextmanager
    def _held(self) -> Iterator[None]:
        name = f"vault:{tenant_hash(self.tenant)}"
        deadline = time.monotonic() + self.wait_seconds
        with self._turn(name):
            lease = self._acquire(name, deadline)
            released = threading.Event()
            renewal = threading.Thread(target=self._renew, args=(lease, released), daemon=True)
            renewal.start()
            try:
                yield
                with self.engine.begin() as connection:
                    leases.check(connection, lease)
            finally:
                released.set()
                renewal.join()
                leases.release(self.engine, lease, now=_now())

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        turn = _turns.setdefault(name, threading.Lock())
        if not turn.acquire(timeout=self.wait_seconds):
            raise ConflictError(f"{name} is held by another thread of this process; wait for it to end")
        try:
            yield
        finally:
            turn.release()

    def _acquire(self, name: str, deadline: float) -> leases.Lease:
        owner = leases.this_process()
        while True:
            try:
                return leases.acquire(self.engine, name, owner=owner, now=_now(), seconds=_LEASE_SECONDS)
            except ConflictError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)

    def _renew(self, lease: leases.Lease, released: threading.Event) -> None:
        while not released.wait(_LEASE_SECONDS / 3):
            try:
                leases.renew(self.engine, lease, now=_now(), seconds=_LEASE_SECONDS)
            except ConflictError:
                return  # the holder finds out at its end


def _now() -> datetime:
    return datetime.now(UTC)
