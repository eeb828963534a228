"""How an S3 server is reached, as settings say, in the words of s3fs and botocore."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import SecretStr

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.settings import Settings

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class S3Connection:
    """Without key and secret botocore looks where it always does: environment, profile, role of the machine.

    `attempts` counts the first one. `part_bytes`: what is longer is uploaded in parts of that length.
    """

    endpoint_url: str | None = None
    region: str | None = None
    key: SecretStr | None = None
    secret: SecretStr | None = None
    encryption: Literal["AES256", "aws:kms"] | None = None
    kms_key_id: str | None = None
    path_style: bool = False
    checksums: Literal["when_supported", "when_required"] = "when_supported"
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    attempts: int = 5
    retry_mode: Literal["standard", "adaptive"] = "standard"
    part_bytes: int = 16 * MIB

    def __post_init__(self) -> None:
        """Raises ConfigurationError when two settings do not go together."""
        if (self.key is None) != (self.secret is None):
            raise ConfigurationError(
                "An S3 access key needs its secret: set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or neither"
            )
        if self.kms_key_id is not None and self.encryption != "aws:kms":
            raise ConfigurationError("S3_KMS_KEY_ID is used with S3_ENCRYPTION=aws:kms alone; set both")

    @classmethod
    def from_settings(cls, settings: Settings) -> "S3Connection":
        return cls(
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            key=settings.s3_access_key_id,
            secret=settings.s3_secret_access_key,
            encryption=settings.s3_encryption,
            kms_key_id=settings.s3_kms_key_id,
            path_style=settings.s3_path_style,
            checksums=settings.s3_checksums,
            connect_timeout_s=settings.s3_connect_timeout_s,
            read_timeout_s=settings.s3_read_timeout_s,
            attempts=settings.s3_attempts,
            retry_mode=settings.s3_retry_mode,
            part_bytes=settings.s3_part_bytes,
        )

    def options(self) -> dict[str, Any]:
        """Arguments of `s3fs.S3FileSystem`; they hold the secret in clear."""
        encryption = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key_id}
        return {
            "endpoint_url": self.endpoint_url,
            "key": None if self.key is None else self.key.get_secret_value(),
            "secret": None if self.secret is None else self.secret.get_secret_value(),
            "client_kwargs": {} if self.region is None else {"region_name": self.region},
            "s3_additional_kwargs": {name: value for name, value in encryption.items() if value is not None},
            "config_kwargs": {
                "connect_timeout": self.connect_timeout_s,
                "read_timeout": self.read_timeout_s,
                "retries": {"mode": self.retry_mode, "total_max_attempts": self.attempts},
                "s3": {"addressing_style": "path" if self.path_style else "auto"},
                "request_checksum_calculation": self.checksums,
                "response_checksum_validation": self.checksums,
            },
            "use_listings_cache": False,  # other processes write and delete
            "skip_instance_cache": True,
        }
