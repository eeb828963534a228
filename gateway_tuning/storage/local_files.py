"""Objects as files below a folder."""

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.storage.failures import told

PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """A file is written beside its place and then gets its name, so that it is visible whole or not at all."""

    root: Path

    def size(self, key: str) -> int | None:
        path = self._at(key)
        with told(str(path)):
            return path.stat().st_size if path.is_file() else None

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        path = self._at(key)
        with told(str(path)), path.open("rb") as stream:
            stream.seek(start)
            return stream.read(-1 if end is None else end - start)

    def put(self, key: str, chunks: Iterable[bytes], *, new: bool = False) -> None:
        """Raises FileExistsError where something stands and `new` is asked for."""
        path = self._at(key)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(6)}{PARTIAL}")
        _folder(path.parent)
        try:
            with told(str(path)):
                stream = partial.open("wb")
            try:
                for chunk in chunks:
                    with told(str(path)):
                        stream.write(chunk)
            finally:
                with told(str(path)):
                    stream.close()
            with told(str(path)):
                # A hard link fails where the name is taken: a rename replaces, and open("x") shows half a file.
                (path.hardlink_to if new else partial.replace)(partial if new else path)
        finally:
            partial.unlink(missing_ok=True)

    def keys(self, prefix: str) -> list[str]:
        found = self._at(prefix)
        if found.is_file():
            return [prefix]
        names = (
            Path(folder, name).relative_to(self.root).as_posix()
            for folder, _, files in os.walk(found)
            for name in files
        )
        return sorted(name for name in names if not name.endswith(PARTIAL))

    def remove(self, key: str) -> bool:
        """An empty folder may stay."""
        path = self._at(key)
        try:
            with told(str(path)):
                path.unlink()
        except FileNotFoundError:
            return False
        return True

    def sweep(self, prefix: str) -> int:
        left = list(self._at(prefix).rglob(f"*{PARTIAL}"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _at(self, key: str) -> Path:
        """Raises ConfigurationError for a key that would lead out of the folder."""
        if key.startswith("/") or ".." in key.split("/"):
            raise ConfigurationError(f"The object key {key!r} leads out of {self.root}; name it without '..'")
        return self.root / key


def _folder(path: Path) -> None:
    try:
        with told(str(path)):
            path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError) as error:
        raise ConfigurationError(
            f"{path} cannot be a folder, for a file stands in its way ({error}); move that file"
        ) from error
