"""Uploaded files and results: `files/ID/content` and, written after it, `files/ID/file.json`."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from gateway_tuning.errors import NotFoundError
from gateway_tuning.local_service.store.whole_files import is_id, new_id, write_whole

PREFIX = "file-"
TRAINING = "fine-tune"
RESULTS = "fine-tune-results"


class StoredFile(BaseModel):
    """`created_at` is in seconds since 1970, with a fraction that keeps the order."""

    model_config = ConfigDict(frozen=True)

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: float

    def wire(self) -> dict[str, Any]:
        fields = self.model_dump() | {"created_at": int(self.created_at)}
        return {"object": "file", **fields, "status": "processed", "expires_at": None, "status_details": None}


@dataclass(frozen=True, slots=True)
class FileStore:
    root: Path

    def add(
        self, chunks: Iterable[bytes], *, filename: str, purpose: str, now: float, id_: str | None = None
    ) -> StoredFile:
        """A file with a given id is written once: the same id again replaces it."""
        id_ = id_ or new_id(PREFIX)
        folder = self.root / id_
        folder.mkdir(parents=True, exist_ok=True)
        size = 0
        with (folder / "content").open("wb") as stream:
            for chunk in chunks:
                size += stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        stored = StoredFile(id=id_, filename=filename, purpose=purpose, bytes=size, created_at=now)
        write_whole(folder / "file.json", stored.model_dump_json().encode())
        return stored

    def get(self, id_: str) -> StoredFile:
        """Raises NotFoundError."""
        if is_id(id_, PREFIX):
            try:
                return StoredFile.model_validate_json((self.root / id_ / "file.json").read_bytes())
            except FileNotFoundError:
                pass
        raise NotFoundError(f"No such File object: {id_[:64]}")

    def content(self, id_: str) -> Path:
        """Where its bytes are. Raises NotFoundError."""
        return self.root / self.get(id_).id / "content"

    def newest_first(self) -> list[StoredFile]:
        found = []
        for path in self.root.glob("*/file.json"):
            try:
                found.append(self.get(path.parent.name))
            except NotFoundError:  # deleted meanwhile
                continue
        return sorted(found, key=lambda file: (file.created_at, file.id), reverse=True)

    def delete(self, id_: str) -> None:
        """Raises NotFoundError."""
        folder = self.root / self.get(id_).id
        (folder / "file.json").unlink(missing_ok=True)
        (folder / "content").unlink(missing_ok=True)  # whoever hears of a deletion may rely on it
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what uploads and deletions that were cut off left behind. Only while nobody writes."""
        for folder in self.root.glob(f"{PREFIX}*"):
            if not (folder / "file.json").exists():
                shutil.rmtree(folder)
