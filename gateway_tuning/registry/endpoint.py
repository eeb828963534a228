"""Where a model version answers: any OpenAI-compatible chat endpoint."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`base_url` ends in `/v1`. `extra_body` is merged into every request (a local server picks the adapter so).

    `api_key_env` names the environment variable that holds the key; the key itself is never stored.
    """

    base_url: str
    model: str
    extra_body: dict[str, Any] = field(default_factory=dict)
    api_key_env: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 in hex over all of it."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """`digest` is of the whole endpoint. `by` is None where nobody said who set it."""

    version_id: str
    base_url: str
    served_model: str
    digest: str
    by: str | None
    at: datetime
