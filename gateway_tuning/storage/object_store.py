"""Object storage: `file://`, `s3://`, `memory://` behave alike here."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol

import fsspec

from gateway_tuning.errors import ConflictError, IntegrityError, NotFoundError, UnsupportedRequestError
from gateway_tuning.settings import Settings
from gateway_tuning.storage.failures import told
from gateway_tuning.storage.local_files import PARTIAL, LocalFiles
from gateway_tuning.storage.mapped_files import MappedFiles
from gateway_tuning.storage.s3_connection import S3Connection
from gateway_tuning.storage.s3_objects import S3Objects

_STEP = 16 * 1024 * 1024  # bytes of a download that are held at a time


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Place(Protocol):
    """Bytes by key. What is missing is FileNotFoundError; other faults are errors of this project."""

    def size(self, key: str) -> int | None: ...

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes: ...

    def put(self, key: str, chunks: Iterable[bytes], *, new: bool = False) -> None: ...

    def keys(self, prefix: str) -> list[str]: ...

    def remove(self, key: str) -> bool: ...

    def sweep(self, prefix: str) -> int: ...


class ObjectStore:
    """Whole objects by key below one root URL. A write is visible whole or not at all.

    Every method raises StorageUnavailableError when the storage does not answer, breaks off or is full, and
    ConfigurationError when it refuses who asks or there is no such bucket.
    """

    def __init__(self, url: str, s3: S3Connection | None = None) -> None:
        self.url = url.rstrip("/")
        self._place = _place(self.url, s3 or S3Connection())

    @classmethod
    def from_settings(cls, settings: Settings) -> "ObjectStore":
        """Raises ConfigurationError when settings of S3 do not go together."""
        return cls(settings.resolved_object_storage_url, S3Connection.from_settings(settings))

    def make_root(self) -> bool:
        """Make the bucket of an `s3://` root; whether it was missing. Other roots come with their first object."""
        return self._place.make_bucket() if isinstance(self._place, S3Objects) else False

    def uri(self, key: str) -> str:
        return f"{self.url}/{key}"

    def exists(self, key: str) -> bool:
        return self._place.size(key) is not None

    def read(self, key: str, *, sha256: str | None = None) -> bytes:
        """Raises NotFoundError, or IntegrityError when the bytes do not have the given checksum."""
        data = self._get(key)
        if sha256 is not None and sha256_hex(data) != sha256:
            raise self._damaged(key)
        return data

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end`, or to the end of the object. Raises NotFoundError."""
        return self._get(key, start, end) if end > start else b""

    def write(self, key: str, data: bytes) -> str:
        """Write or replace, and return the sha256 of the data."""
        self._place.put(key, (data,))
        return sha256_hex(data)

    def write_stream(self, key: str, chunks: Iterable[bytes]) -> str:
        """`write` for what is larger than memory; S3 takes it in parts. When `chunks` fails, nothing is left."""
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for chunk in chunks:
                digest.update(chunk)
                yield chunk

        self._place.put(key, hashed())
        return digest.hexdigest()

    def write_new(self, key: str, data: bytes) -> str:
        """Write only where nothing is. The same bytes again are fine.

        Where the server ignores conditions (`honours_conditions`) two writers at one moment may both be told
        that theirs stands. What must be unique is therefore decided by the metadata store.

        Raises:
            ConflictError: other bytes stand there already.
        """
        if self.honours_conditions:
            try:
                self._place.put(key, (data,), new=True)
            except FileExistsError:
                self._require_same(key, data)
            return sha256_hex(data)
        if self.exists(key):
            self._require_same(key, data)
        else:
            self._place.put(key, (data,))
            self._require_same(key, data)  # another writer may have replaced it
        return sha256_hex(data)

    @cached_property
    def honours_conditions(self) -> bool:
        """Whether the storage itself refuses a second writer. S3 is asked once, with an object that goes again."""
        if not isinstance(self._place, S3Objects):
            return True
        probe = f"{secrets.token_hex(8)}{PARTIAL}"
        try:
            self._place.put(probe, (b"first",), new=True)
            self._place.put(probe, (b"second",), new=True)
        except FileExistsError:
            return True
        except UnsupportedRequestError:
            return False
        else:
            return False
        finally:
            self._place.remove(probe)

    def list_keys(self, prefix: str) -> list[str]:
        """All below the folder `prefix`, or the object of that name, in order."""
        return self._place.keys(prefix.rstrip("/"))

    def delete(self, key: str) -> bool:
        """Whether something was there."""
        return self._place.remove(key)

    def delete_partials(self, prefix: str) -> int:
        """What killed writers left below `prefix`; a writer at work fails and is to try again."""
        return self._place.sweep(prefix.rstrip("/"))

    def download(self, key: str, target: Path, *, sha256: str) -> Path:
        """Copy to a local file; a copy with the right checksum is kept as it is.

        Raises:
            NotFoundError: no such object.
            IntegrityError: it does not have the checksum; the target is as it was.
        """
        if target.exists() and file_sha256(target) == sha256:
            return target
        partial = target.with_name(f"{target.name}.{secrets.token_hex(6)}{PARTIAL}")
        try:
            with told(str(target)):
                target.parent.mkdir(parents=True, exist_ok=True)
                digest = self._copy(key, partial)
            if digest != sha256:
                raise self._damaged(key)
            with told(str(target)):
                partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def _copy(self, key: str, target: Path) -> str:
        digest, start = hashlib.sha256(), 0
        with target.open("wb") as stream:
            while piece := self._get(key, start, start + _STEP):
                digest.update(piece)
                stream.write(piece)
                start += len(piece)
                if len(piece) < _STEP:
                    break
        return digest.hexdigest()

    def _get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        try:
            return self._place.get(key, start, end)
        except FileNotFoundError:
            raise NotFoundError(f"No object {self.uri(key)}") from None

    def _require_same(self, key: str, data: bytes) -> None:
        if self._get(key) != data:
            raise ConflictError(f"{self.uri(key)} exists with other content; nothing was written")

    def _damaged(self, key: str) -> IntegrityError:
        return IntegrityError(
            f"{self.uri(key)} does not match its recorded sha256; restore it or build it again"
        )


def _place(url: str, s3: S3Connection) -> Place:
    if url.startswith(("s3://", "s3a://")):
        return S3Objects.at(url, s3)
    fs, root = fsspec.core.url_to_fs(url)
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return LocalFiles(Path(root)) if "file" in protocols else MappedFiles(fs, root)
