"""Where a model version answers: any OpenAI-compatible chat endpoint."""

from dataclasses import dataclass, field
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
