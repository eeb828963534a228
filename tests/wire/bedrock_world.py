"""BedrockProvider at work: our fake on the wire, S3 by moto, and faults between."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.providers.bedrock.account import BedrockAccount
from gateway_tuning.training.providers.bedrock.provider import BedrockProvider, job_name
from tests.s3 import running_s3
from tests.wire.bedrock import ACCOUNT, REGION, FakeBedrock
from tests.wire.faults import Faults
from tests.wire.server import running

BUCKET, PREFIX = "tuning", "some/folder"
SPEC = TuningSpec(
    provider="bedrock",
    base_model="amazon.nova-micro-v1:0:128k",
    dataset_id="ds-1",
    hyperparameters={"learningRate": 1e-5, "epochCount": 2},
)


@dataclass(frozen=True, slots=True)
class BedrockWorld:
    provider: BedrockProvider
    fake: FakeBedrock
    faults: Faults
    s3: Any

    def objects(self, key: str) -> list[str]:
        """Every version of every object that lies for the job, whatever hides it."""
        listed = self.s3.list_object_versions(Bucket=BUCKET, Prefix=f"{PREFIX}/{job_name(key)}/")
        return [one["Key"] for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))]

    def holds(self, key: str, words: str) -> bool:
        listed = self.s3.list_object_versions(Bucket=BUCKET, Prefix=f"{PREFIX}/{job_name(key)}/")
        return any(
            words.encode()
            in self.s3.get_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])["Body"].read()
            for one in listed.get("Versions", ())
        )

    def with_account(self, **changes: Any) -> BedrockProvider:
        return BedrockProvider(replace(self.provider.account, **changes))


@contextmanager
def bedrock_world() -> Iterator[BedrockWorld]:
    """In a bucket with versions, where a plain delete deletes nothing."""
    with running_s3() as port:
        account = BedrockAccount(
            region=REGION,
            role_arn=f"arn:aws:iam::{ACCOUNT}:role/tuner",
            data_url=f"s3://{BUCKET}/{PREFIX}",
            s3_endpoint_url=f"http://127.0.0.1:{port}",
            key=SecretStr("access"),
            secret=SecretStr("top-secret"),
            read_timeout_s=10,
            s3_attempts=1,
        )
        s3 = account.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        fake, faults = FakeBedrock(s3), Faults()
        with running(faults.around(fake.app())) as url:
            yield BedrockWorld(BedrockProvider(replace(account, endpoint_url=url)), fake, faults, s3)


def nova(path: Path, examples: int, *, words: str = "Thank you for asking!") -> Path:
    """Lines of the format bedrock-nova."""

    def line(number: int) -> dict[str, Any]:
        said = (("user", f"Where is order {number}?"), ("assistant", f"{words} Order {number} left today."))
        messages = [{"role": role, "content": [{"text": text}]} for role, text in said]
        return {"schemaVersion": "bedrock-conversation-2024", "messages": messages}

    path.write_text("\n".join(json.dumps(line(number)) for number in range(examples)))
    return path
