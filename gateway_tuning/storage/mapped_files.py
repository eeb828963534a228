"""Objects in any other file system of fsspec, `memory://` above all: small, and for one process."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MappedFiles:
    """`fs.open` in memory shows an object before it is whole, so everything is handed over in one piece."""

    fs: Any
    root: str

    def size(self, key: str) -> int | None:
        try:
            found = self.fs.info(f"{self.root}/{key}")
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        data: bytes = self.fs.cat_file(f"{self.root}/{key}", start=start, end=end)
        return data

    def put(self, key: str, chunks: Iterable[bytes], *, new: bool = False) -> None:
        """Raises FileExistsError where something stands and `new` is asked for."""
        path = f"{self.root}/{key}"
        data = b"".join(chunks)
        self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        self.fs.pipe_file(path, data, mode="create" if new else "overwrite")

    def keys(self, prefix: str) -> list[str]:
        path = f"{self.root}/{prefix}".rstrip("/")
        self.fs.invalidate_cache()
        if not self.fs.exists(path):
            return []
        return sorted(str(found)[len(self.root) + 1 :] for found in self.fs.find(path))

    def remove(self, key: str) -> bool:
        if self.size(key) is None:
            return False
        self.fs.rm_file(f"{self.root}/{key}")
        return True

    def sweep(self, prefix: str) -> int:  # noqa: ARG002 - nothing is ever left half
        return 0
