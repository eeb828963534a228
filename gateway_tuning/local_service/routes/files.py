"""`/v1/files`."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, File, Form, Query, UploadFile
from starlette.responses import FileResponse

from gateway_tuning.local_service.access import FILE_BYTES
from gateway_tuning.local_service.pages import page
from gateway_tuning.local_service.problems import RefusedError
from gateway_tuning.local_service.service import Serving, now
from gateway_tuning.local_service.store.files import TRAINING

router = APIRouter(prefix="/v1/files")
_CHUNK_BYTES = 1 << 20
_LONGEST_NAME = 255


@router.post("")
def upload(
    service: Serving,
    file: Annotated[UploadFile, File()],
    purpose: Annotated[str, Form()],
    expires: Annotated[str | None, Form(alias="expires_after[seconds]")] = None,
) -> dict[str, Any]:
    if expires is not None:
        told = "expires_after: this service keeps files until they are deleted; leave it out, and delete the file"
        raise RefusedError(400, told, param="expires_after")
    if purpose != TRAINING:
        raise RefusedError(400, f"purpose: this service keeps files for {TRAINING!r} alone", param="purpose")
    if not file.size:
        raise RefusedError(400, "file: the file is empty; send one example a line", param="file")
    if file.size > FILE_BYTES:
        raise RefusedError(413, f"file: longer than {FILE_BYTES:,} bytes; take a sample", param="file")
    name = PurePosixPath((file.filename or "upload.jsonl").replace("\\", "/")).name[-_LONGEST_NAME:]
    stored = service.files.add(_chunks(file.file), filename=name, purpose=purpose, now=now())
    return stored.wire()


@router.get("")
def list_files(
    service: Serving,
    purpose: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
) -> dict[str, Any]:
    files = [file.wire() for file in service.files.newest_first() if purpose in (None, file.purpose)]
    return page(files if order == "desc" else files[::-1], after=after, limit=limit)


@router.get("/{file_id}")
def retrieve(service: Serving, file_id: str) -> dict[str, Any]:
    return service.files.get(file_id).wire()


@router.get("/{file_id}/content")
def content(service: Serving, file_id: str) -> FileResponse:
    file = service.files.get(file_id)
    return FileResponse(
        service.files.content(file_id), media_type="application/octet-stream", filename=file.filename
    )


@router.delete("/{file_id}")
def delete(service: Serving, file_id: str) -> dict[str, Any]:
    service.files.delete(file_id)
    return {"id": file_id, "object": "file", "deleted": True}


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
