"""Training data and results of Bedrock's jobs on S3. A job has a folder: `data/` goes when it is discarded."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from gateway_tuning.errors import NotFoundError
from gateway_tuning.training.job import Checkpoint
from gateway_tuning.training.providers.bedrock.account import BedrockAccount, asking
from gateway_tuning.training.providers.submission import Upload

TRAINING_METRICS = "training_artifacts/step_wise_training_metrics.csv"
VALIDATION_METRICS = "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv"
_MOST_DELETED = 1000  # in one request


@dataclass(frozen=True, slots=True)
class Folder:
    """Of the job with this name."""

    account: BedrockAccount
    job_name: str

    @property
    def _bucket(self) -> str:
        return self.account.data_url.removeprefix("s3://").split("/", 1)[0]

    @property
    def _key(self) -> str:
        _, _, prefix = self.account.data_url.removeprefix("s3://").rstrip("/").partition("/")
        return f"{prefix}/{self.job_name}" if prefix else self.job_name

    @property
    def output_uri(self) -> str:
        return f"s3://{self._bucket}/{self._key}/output"

    @property
    def _s3(self) -> Any:
        return self.account.client("s3")

    def upload(self, file: Upload) -> str:
        """The file's `s3://` address, under its checksum. A whole one that lies there already is not sent again."""
        key = f"{self._key}/data/{file.split}-{file.sha256}.jsonl"
        if self._size(key) != file.size:
            with asking(self.account, f"store the {file.split} data in s3://{self._bucket}/{key}"):
                self._s3.upload_file(str(file.path), self._bucket, key)
        return f"s3://{self._bucket}/{key}"

    def has_data(self) -> bool:
        """Parts of an upload that broke off count: they are data, though no object is listed for them."""
        return any(True for _ in chain(self._versions(), self._pages("list_multipart_uploads", "Uploads")))

    def discard(self) -> None:
        """Every version of the data, and what broken uploads left."""
        with asking(self.account, f"delete s3://{self._bucket}/{self._key}/data"):
            found = list(self._versions())
            for start in range(0, len(found), _MOST_DELETED):
                some = found[start : start + _MOST_DELETED]
                answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": some, "Quiet": True})
                for error in answer.get("Errors", ()):
                    raise _refused(error)
            for upload in self._pages("list_multipart_uploads", "Uploads"):
                self._s3.abort_multipart_upload(
                    Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )

    def curve(self) -> tuple[Checkpoint, ...]:
        """The losses of each step that the job wrote down; empty when it did not. No step can be asked."""
        steps: dict[int, dict[str, float]] = {}
        for suffix, column, name in (
            (TRAINING_METRICS, "training_loss", "train_loss"),
            (VALIDATION_METRICS, "validation_loss", "validation_loss"),
        ):
            for row in self._table(suffix):
                step, value = _number(row.get("step_number")), _number(row.get(column))
                if step is not None and value is not None and step.is_integer():
                    steps.setdefault(int(step), {})[name] = value
        return tuple(Checkpoint(step, steps[step]) for step in sorted(steps))

    def _table(self, suffix: str) -> list[dict[str, str]]:
        with asking(self.account, f"show the metrics in {self.output_uri}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._key}/output/"
            )
            keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
            key = next((key for key in keys if key.endswith(suffix)), None)
            if key is None:
                return []
            text = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode()
        return list(csv.DictReader(io.StringIO(text)))

    def _size(self, key: str) -> int | None:
        try:
            with asking(self.account, f"look for s3://{self._bucket}/{key}"):
                return int(self._s3.head_object(Bucket=self._bucket, Key=key)["ContentLength"])
        except NotFoundError:
            return None

    def _versions(self) -> Iterator[dict[str, str]]:
        """Of a bucket without versions, each object has the one named null."""
        for group in ("Versions", "DeleteMarkers"):
            for item in self._pages("list_object_versions", group):
                yield {"Key": item["Key"], "VersionId": item["VersionId"]}

    def _pages(self, operation: str, group: str) -> Iterator[Any]:
        with asking(self.account, f"list s3://{self._bucket}/{self._key}/data"):
            pages = self._s3.get_paginator(operation).paginate(
                Bucket=self._bucket, Prefix=f"{self._key}/data/"
            )
            for page in pages:
                yield from page.get(group, ())


def _refused(error: dict[str, str]) -> Exception:
    from botocore.exceptions import ClientError

    refused: Exception = ClientError(
        {"Error": {"Code": error["Code"], "Message": error.get("Message", "")}}, "DeleteObjects"
    )
    return refused


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
