"""Objects in a bucket, through s3fs: single requests, and uploads in parts that end whole or leave nothing."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from gateway_tuning.errors import (
    ConfigurationError,
    GatewayTuningError,
    UnsupportedRequestError,
    missing_extra,
)
from gateway_tuning.storage import s3_failures
from gateway_tuning.storage.local_files import PARTIAL
from gateway_tuning.storage.s3_connection import S3Connection

logger = logging.getLogger("gateway_tuning.storage")


@dataclass(frozen=True, slots=True)
class S3Objects:
    """`prefix` is empty or ends with a slash. Torn answers are read `attempts` times."""

    fs: Any
    bucket: str
    prefix: str
    part_bytes: int
    attempts: int

    @classmethod
    def at(cls, url: str, connection: S3Connection) -> "S3Objects":
        """Nothing is asked of the server yet."""
        try:
            from s3fs import S3FileSystem
        except ImportError:
            raise missing_extra("s3fs", "s3") from None
        fs = S3FileSystem(**connection.options())
        fs.retries = 1  # botocore tries again by the connection's settings; both together multiply
        bucket, _, folder = url.partition("://")[2].partition("/")
        return cls(fs, bucket, f"{folder}/" if folder else "", connection.part_bytes, connection.attempts)

    def make_bucket(self) -> bool:
        """Whether it was missing. Raises ConfigurationError where the name belongs to somebody else."""
        try:
            self._bucket_call("head_bucket")
        except (FileNotFoundError, ConfigurationError) as error:
            if s3_failures.code_of(error) not in {"404", "NoSuchBucket"}:
                raise
        else:
            return False
        region = self.fs.client_kwargs.get("region_name")
        # AWS takes its first region by leaving it out alone.
        place = {} if region in {None, "us-east-1"} else {"LocationConstraint": region}
        try:
            self._bucket_call("create_bucket", **({"CreateBucketConfiguration": place} if place else {}))
        except FileExistsError as error:
            if s3_failures.code_of(error) != "BucketAlreadyOwnedByYou":  # another process made it meanwhile
                raise ConfigurationError(
                    f"The bucket {self.bucket} belongs to somebody else; choose another name in "
                    "GATEWAY_TUNING_OBJECT_STORAGE_URL"
                ) from error
            return False
        return True

    def size(self, key: str) -> int | None:
        try:
            return int(self._call("head_object", key)["ContentLength"])
        except FileNotFoundError:
            return None

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        limits = {} if start == 0 and end is None else {"start": start, "end": end}
        path = f"{self.bucket}/{self.prefix}{key}"
        try:
            # One stream: in several s3fs asks for the size before, and reads torn pieces only once.
            data: bytes = self._try(lambda: self.fs.cat_file(path, max_concurrency=1, **limits), key)
        except GatewayTuningError as error:
            if s3_failures.code_of(error) in {"InvalidRange", "416"}:
                return b""  # begins behind the end, as in a file
            raise
        return data

    def put(self, key: str, chunks: Iterable[bytes], *, new: bool = False) -> None:
        """Raises FileExistsError where something stands, `new` is asked for and the server honours conditions."""
        condition = {"IfNoneMatch": "*"} if new else {}
        pieces = _pieces(chunks, self.part_bytes)
        first, second = next(pieces), next(pieces, None)
        if second is None:
            self._call("put_object", key, Body=first, **condition)
            return
        upload = self._call("create_multipart_upload", key)["UploadId"]
        try:
            parts = [
                self._part(key, upload, number, piece)
                for number, piece in enumerate(chain((first, second), pieces), 1)
            ]
            self._call(
                "complete_multipart_upload",
                key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **condition,
            )
        except BaseException:
            self._abort(key, upload)
            raise

    def keys(self, prefix: str) -> list[str]:
        asked = f"{self.prefix}{prefix}"
        answer: dict[str, Any] = {"IsTruncated": True}
        found: list[str] = []
        while answer.get("IsTruncated"):
            token = answer.get("NextContinuationToken")
            more = {} if token is None else {"ContinuationToken": token}
            answer = self._bucket_call("list_objects_v2", Prefix=asked, **more)
            found += [str(one["Key"]) for one in answer.get("Contents", ())]
        kept = (name for name in found if _below(name, asked) and not name.endswith(("/", PARTIAL)))
        return sorted(name[len(self.prefix) :] for name in kept)

    def remove(self, key: str) -> bool:
        """S3 itself does not tell whether something was there."""
        if self.size(key) is None:
            return False
        self._call("delete_object", key)
        return True

    def sweep(self, prefix: str) -> int:
        """Unfinished uploads, whose parts are paid for and seen by no listing of objects."""
        try:
            left = self._uploads(f"{self.prefix}{prefix}")
        except UnsupportedRequestError as error:
            logger.warning("Unfinished uploads below %s stay, for they cannot be listed: %s", prefix, error)
            return 0
        for key, upload in left:
            self._abort(key, upload)
        return len(left)

    def _uploads(self, asked: str) -> list[tuple[str, str]]:
        answer: dict[str, Any] = {"IsTruncated": True}
        found: list[tuple[str, str]] = []
        while answer.get("IsTruncated"):
            markers = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
            more = {name: answer[told] for name, told in markers.items() if answer.get(told)}
            answer = self._bucket_call("list_multipart_uploads", Prefix=asked, **more)
            found += [(str(one["Key"]), str(one["UploadId"])) for one in answer.get("Uploads", ())]
        return [(key[len(self.prefix) :], upload) for key, upload in found if _below(key, asked)]

    def _part(self, key: str, upload: str, number: int, piece: bytes) -> dict[str, Any]:
        answer = self._call("upload_part", key, UploadId=upload, PartNumber=number, Body=piece)
        checksums = {name: value for name, value in answer.items() if name in _CHECKSUMS}
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    def _abort(self, key: str, upload: str) -> None:
        """A failure here must not hide why the upload was given up; the next sweep finds what it leaves."""
        try:
            self._call("abort_multipart_upload", key, UploadId=upload)
        except GatewayTuningError as error:
            if s3_failures.code_of(error) == "NoSuchUpload":
                return  # somebody else ended it
            logger.warning("The unfinished upload of %s stays until it is swept: %s", key, error)

    def _call(self, method: str, key: str, **arguments: Any) -> Any:
        name = f"{self.prefix}{key}"
        return self._try(lambda: self.fs.call_s3(method, Bucket=self.bucket, Key=name, **arguments), key)

    def _bucket_call(self, method: str, **arguments: Any) -> Any:
        return self._try(lambda: self.fs.call_s3(method, Bucket=self.bucket, **arguments), "")

    def _try(self, call: Callable[[], Any], key: str) -> Any:
        """Raises ConfigurationError, StorageUnavailableError, FileNotFoundError or FileExistsError."""
        uri = f"s3://{self.bucket}/{self.prefix}{key}"
        torn = s3_failures.torn()
        for attempt in range(1, self.attempts + 1):
            try:
                return call()
            except (*s3_failures.faults(), *torn) as error:
                if attempt == self.attempts or not isinstance(error, torn):
                    explained = s3_failures.explained(error, uri)
                    if explained is error:  # with the server's answer as its cause, not itself
                        raise
                    raise explained from error
            time.sleep(min(0.1 * 2**attempt, 2.0))
        raise AssertionError


_CHECKSUMS = {"ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256"}


def _pieces(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """The same bytes in pieces of one length, the last one shorter; a single empty piece of nothing."""
    held = bytearray()
    for chunk in chunks:
        for start in range(0, len(chunk), length):
            held += chunk[start : start + length]
            if len(held) > length:
                yield bytes(held[:length])
                del held[:length]
    yield bytes(held)


def _below(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder if folder.endswith("/") or not folder else f"{folder}/")
