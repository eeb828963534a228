"""What can be known about a record besides what was sent: language, tokens, the user's segment and preferences.

Everything here may fail without harm to the record: what is not known is None, and why is in `errors`.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Protocol
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field, ValidationError

from gateway_tuning.errors import ConfigurationError, MissingExtraError, missing_extra
from gateway_tuning.feedback.language import LanguageDetector
from gateway_tuning.feedback.record import FeedbackRecord

if TYPE_CHECKING:
    import httpx

BYTES_PER_TOKEN = 4  # of UTF-8; a rule of thumb, and told as an estimate
REPORTED = "reported"
ESTIMATED = f"estimated: UTF-8 bytes / {BYTES_PER_TOKEN}"
MAX_PROFILE_BYTES = 64 * 1024
NO_PROFILE = (404, 410)
PLACEHOLDER = "{user_id}"


@dataclass(frozen=True, slots=True)
class Enrichment:
    """`language` is an ISO 639-1 code of the prompt. `prompt_tokens` count system prompt and history too."""

    language: str | None = None
    language_confidence: float | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None
    token_method: str | None = None
    user_segment: str | None = None
    preferences: tuple[str, ...] | None = None
    errors: tuple[str, ...] = ()  # each begins with the enricher's name; none names a user


class EnrichmentError(Exception):
    """An enricher's failure in words that may be shown: no user id, no text of the record, no key."""


class Enricher(Protocol):
    @property
    def name(self) -> str: ...

    def enrich(self, record: FeedbackRecord) -> Enrichment:
        """What it knows. It bounds its own time; any exception costs its fields alone."""
        ...


def enrich(record: FeedbackRecord, enrichers: Sequence[Enricher], timeout: float) -> Enrichment:
    """All enrichers side by side, within `timeout` seconds together. Of two that know a field the first counts.

    A slow one is left behind in a daemon thread, which ends with it.
    """
    found: list[Enrichment | str] = ["gave no answer in time"] * len(enrichers)
    threads = [
        threading.Thread(target=_ask, args=(enricher, record, found, at), daemon=True)
        for at, enricher in enumerate(enrichers)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    answers = list(found)  # a late answer no longer counts
    known = [answer for answer in answers if isinstance(answer, Enrichment)]
    values = {
        field.name: next(
            (value for answer in known if (value := getattr(answer, field.name)) is not None), None
        )
        for field in fields(Enrichment)
        if field.name != "errors"
    }
    errors = [
        f"{enricher.name}: {error}"
        for enricher, answer in zip(enrichers, answers, strict=True)
        for error in ([answer] if isinstance(answer, str) else answer.errors)
    ]
    return Enrichment(**values, errors=tuple(errors))


def _ask(enricher: Enricher, record: FeedbackRecord, found: list[Enrichment | str], at: int) -> None:
    try:
        found[at] = enricher.enrich(record)
    except (EnrichmentError, MissingExtraError) as error:
        found[at] = str(error)
    except Exception as error:  # noqa: BLE001 - whatever another's enricher raises; its text may name the user
        found[at] = f"failed with {type(error).__name__}"


class TextEnricher:
    """Language by py3langid; tokens as the record reports them, or an estimate."""

    name = "text"

    def __init__(self) -> None:
        self._languages = LanguageDetector()

    def enrich(self, record: FeedbackRecord) -> Enrichment:
        language, confidence, errors = None, None, list[str]()
        try:
            language, confidence = self._languages.detect(record.prompt)
        except MissingExtraError as error:
            errors.append(str(error))
        request = record.request
        asked = [record.system_prompt or "", *(turn.content for turn in record.history), record.prompt]
        prompt = None if request is None else request.prompt_tokens
        response = None if request is None else request.response_tokens
        methods = [ESTIMATED if count is None else REPORTED for count in (prompt, response)]
        return Enrichment(
            language=language,
            language_confidence=confidence,
            prompt_tokens=_estimate(asked) if prompt is None else prompt,
            response_tokens=_estimate([record.response]) if response is None else response,
            token_method=methods[0]
            if len(set(methods)) == 1
            else f"prompt {methods[0]}, response {methods[1]}",
            errors=tuple(errors),
        )


class _Profile(BaseModel):
    segment: str | None = Field(None, max_length=200)
    preferences: list[Annotated[str, Field(max_length=200)]] | None = Field(None, max_length=50)


class ProfileEnricher:
    """Asks a service for `{"segment": ..., "preferences": [...]}` of the user; both may be absent.

    `url` holds `{user_id}` once, in its path or query: the host is fixed, redirects are not followed, and proxies
    of the environment are not used. A user that the service does not know (404, 410) is no failure.
    """

    name = "profile"

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or PLACEHOLDER in parts.netloc:
            raise ConfigurationError(
                "The profile URL must be http(s)://host/... with {user_id} behind the host"
            )
        if f"{parts.path}?{parts.query}".count(PLACEHOLDER) != 1:
            raise ConfigurationError("The profile URL must hold {user_id} once, in its path or query")
        self._url, self._key, self._timeout = url, key, timeout

    def enrich(self, record: FeedbackRecord) -> Enrichment:
        if record.user_id is None:
            return Enrichment()
        profile = self._profile(record.user_id)
        kept = None if profile.preferences is None else tuple(profile.preferences)
        return Enrichment(user_segment=profile.segment, preferences=kept)

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    def _profile(self, user_id: str) -> _Profile:
        if user_id in {".", ".."}:
            raise EnrichmentError("the user's id would change the path of the URL; not asked")
        body = self._get(self._url.replace(PLACEHOLDER, quote(user_id, safe="")))
        if body is None:
            return _Profile()
        try:
            return _Profile.model_validate_json(body)
        except ValidationError:
            raise EnrichmentError("the service's answer is no {segment, preferences} in JSON") from None

    def _get(self, url: str) -> bytes | None:
        """None when the service knows nobody. Nothing of the URL goes into an error."""
        import httpx

        started = time.monotonic()
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code in NO_PROFILE:
                    return None
                if response.status_code != httpx.codes.OK:
                    raise EnrichmentError(f"the service answered {response.status_code}")
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_PROFILE_BYTES:
                        raise EnrichmentError(
                            f"the service's answer is longer than {MAX_PROFILE_BYTES} bytes"
                        )
                    if time.monotonic() - started > self._timeout:
                        raise EnrichmentError(f"the service did not answer within {self._timeout:g} s")
                return bytes(body)
        except httpx.TimeoutException:
            raise EnrichmentError(f"the service did not answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EnrichmentError(f"the service could not be asked ({type(error).__name__})") from None

    @cached_property
    def _client(self) -> "httpx.Client":
        try:
            import httpx
        except ImportError as error:
            raise missing_extra("httpx", "enrichment") from error
        headers = {"accept": "application/json"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        return httpx.Client(headers=headers, timeout=self._timeout, follow_redirects=False, trust_env=False)


def _estimate(texts: Sequence[str]) -> int:
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return -(-size // BYTES_PER_TOKEN)
