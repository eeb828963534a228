"""Object storage through fsspec: `file://`, `s3://`, `memory://` behave alike here."""

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec

from gateway_tuning.errors import ConflictError, IntegrityError, NotFoundError


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class ObjectStore:
    """Whole objects by key below one root URL.

    A write is visible whole or not at all: local files are written beside their place and renamed;
    S3 commits an object when its upload ends.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._fs: Any
        self._root: str
        self._fs, self._root = fsspec.core.url_to_fs(self.url)
        self._local = "file" in (
            self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,)
        )

    def uri(self, key: str) -> str:
        return f"{self.url}/{key}"

    def exists(self, key: str) -> bool:
        self._fs.invalidate_cache()  # another process may have written or deleted it
        return bool(self._fs.exists(self._path(key)))

    def read(self, key: str, *, sha256: str | None = None) -> bytes:
        """Raises NotFoundError, or IntegrityError when the bytes do not have the given checksum."""
        try:
            data: bytes = self._fs.cat_file(self._path(key))
        except FileNotFoundError:
            raise NotFoundError(f"No object {self.uri(key)}") from None
        if sha256 is not None and sha256_hex(data) != sha256:
            raise IntegrityError(
                f"{self.uri(key)} does not match its recorded sha256; restore it or build it again"
            )
        return data

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end`. Raises NotFoundError."""
        try:
            data: bytes = self._fs.cat_file(self._path(key), start=start, end=end)
        except FileNotFoundError:
            raise NotFoundError(f"No object {self.uri(key)}") from None
        return data

    def write(self, key: str, data: bytes) -> str:
        """Write or replace, and return the sha256 of the data."""
        path = self._path(key)
        self._fs.makedirs(self._parent(path), exist_ok=True)
        if self._local:
            digest = sha256_hex(data)
            partial = f"{path}.{digest[:12]}.partial"
            self._fs.pipe_file(partial, data)
            Path(partial).replace(path)
            return digest
        self._fs.pipe_file(path, data)
        return sha256_hex(data)

    def write_stream(self, key: str, chunks: Iterable[bytes]) -> str:
        """`write` for what is larger than memory: S3 takes it in parts and shows it when the last one came."""
        digest = hashlib.sha256()
        path = self._path(key)
        self._fs.makedirs(self._parent(path), exist_ok=True)
        partial = Path(f"{path}.{secrets.token_hex(6)}.partial") if self._local else None
        stream: Any = self._fs.open(path, "wb") if partial is None else partial.open("wb")
        try:
            for chunk in chunks:
                digest.update(chunk)
                stream.write(chunk)
        except BaseException:
            if partial is None:
                stream.discard()  # closing it would show what came so far
            else:
                stream.close()
                partial.unlink()
            raise
        stream.close()
        if partial is not None:
            partial.replace(path)
        return digest.hexdigest()

    def write_new(self, key: str, data: bytes) -> str:
        """Write only where nothing is. The same bytes again are fine.

        Raises:
            ConflictError: other bytes stand there already.
        """
        path = self._path(key)
        self._fs.makedirs(self._parent(path), exist_ok=True)
        try:
            if self._local:
                return self._link_new(path, data)
            self._fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            if self.read(key) != data:
                raise ConflictError(
                    f"{self.uri(key)} exists with other content; nothing was written"
                ) from None
        return sha256_hex(data)

    def list_keys(self, prefix: str) -> list[str]:
        root = self._path(prefix)
        self._fs.invalidate_cache()
        if not self._fs.exists(root):
            return []
        start = len(self._path(""))
        return sorted(str(path)[start:] for path in self._fs.find(root) if not str(path).endswith(".partial"))

    def delete(self, key: str) -> bool:
        """Whether something was there. An empty folder may stay."""
        try:
            self._fs.rm_file(self._path(key))
        except FileNotFoundError:
            return False
        return True

    def delete_partials(self, prefix: str) -> int:
        """What killed writers left beside the places of their objects; a writer at work fails and is to try again."""
        root = self._path(prefix)
        self._fs.invalidate_cache()
        if not self._fs.exists(root):
            return 0
        left = [str(path) for path in self._fs.find(root) if str(path).endswith(".partial")]
        for path in left:
            self._fs.rm_file(path)
        return len(left)

    def download(self, key: str, target: Path, *, sha256: str) -> Path:
        """Copy to a local file; a copy with the right checksum is kept as it is."""
        if target.exists() and file_sha256(target) == sha256:
            return target
        data = self.read(key, sha256=sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(data)
        partial.replace(target)
        return target

    def _link_new(self, path: str, data: bytes) -> str:
        # A hard link fails when the name exists and shows the whole file when it does not: open("x") shows half.
        digest = sha256_hex(data)
        partial = Path(f"{path}.{digest[:12]}.partial")
        partial.write_bytes(data)
        try:
            Path(path).hardlink_to(partial)
        finally:
            partial.unlink(missing_ok=True)
        return digest

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _parent(self, path: str) -> str:
        return path.rsplit("/", 1)[0]
