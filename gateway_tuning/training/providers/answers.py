"""What a provider's refusal means and what to do about it, in words of our own. Pure.

A provider's text is quoted, for it names the object; the remedy is found by its code or by what it says.
"""

import email.utils
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from gateway_tuning.errors import ProviderError, ProviderUnavailableError

MAX_QUOTE = 400
TOO_MANY_REQUESTS = 429
REQUEST_TIMEOUT = 408
SERVER_ERROR = 500
UNREADABLE = "an answer that cannot be read"
ID = r"^[A-Za-z0-9][\w.:-]*$"  # becomes part of addresses and of names of folders


@dataclass(frozen=True, slots=True)
class Remedy:
    """For a refusal whose code and text `says` is found in, or whose status is one of `statuses`."""

    told: str
    remedy: str
    says: re.Pattern[str] | None = None
    statuses: frozenset[int] = frozenset()

    def fits(self, status: int | None, said: str) -> bool:
        return status in self.statuses or (self.says is not None and bool(self.says.search(said)))


def _says(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


QUOTA = Remedy(
    "the account's quota or billing limit is reached",
    "raise the limit or pay what is due there, then train again",
    _says(
        "insufficient_quota", "billing", "exceeded your current quota", "quota exceeded", "credit", "payment"
    ),
    frozenset({402}),
)

# A mere rate limit is often told with a hint at billing, so of a 429 only these are final.
SPENT = re.compile(
    "insufficient_quota|billing_hard_limit|billing_not_active|exceeded your current quota", re.IGNORECASE
)

# The first that fits. What a text says goes before what its status may mean.
REMEDIES = (
    QUOTA,
    Remedy(
        "its moderation refused the training data",
        "find the flagged examples with the filters of the build, leave them out, and build the dataset again",
        _says("moderation", "unsafe", "usage polic", "content polic", "flagged"),
    ),
    Remedy(
        "it takes no new tuning jobs for this account or model",
        "take the dataset elsewhere: `gateway-tuning datasets export --for FORMAT` writes it for another provider",
        _says(
            "no longer (accept|available|accessible|support)",
            "not (accessible|available) to new",
            "wind(ing)? down",
            "deprecat",
            "fine.?tuning (is|has been) (disabled|closed|discontinued)",
            "not eligible",
        ),
    ),
    Remedy(
        "there are too few examples",
        "collect more feedback, or build a dataset over a longer time",
        _says(
            r"at least \d+ (training )?(examples|lines|samples)", "too few", "not enough (examples|samples)"
        ),
    ),
    Remedy(
        "the file is too big",
        "take a sample of the dataset",
        _says("too large", "maximum (file )?size", "exceeds.*(MB|GB|bytes)", "file size"),
        frozenset({413}),
    ),
    Remedy(
        "it does not tune this base model",
        "name a base model that it tunes, as its documentation lists them",
        _says(
            "model_not_found",
            "model_not_available",
            "invalid.model",
            "model.*(not exist|not found|cannot be fine)",
        ),
    ),
    Remedy("it does not accept the API key", "set a key that is valid there", statuses=frozenset({401})),
    Remedy(
        "the API key may not do this",
        "give the key, its project or its organization the right to tune models",
        statuses=frozenset({403}),
    ),
    Remedy(
        "the training file is invalid",
        "check it with `gateway-tuning datasets validate`, and build the dataset again",
        _says("invalid_file", "invalid_training_file", "file_format", "invalid.*(jsonl|format)"),
    ),
)


def refused(who: str, status: int | None, code: str | None, message: str) -> ProviderError:
    """A refusal for good: of a request by its status, or of a job (status None) by the error that ended it."""
    return ProviderError(f"{who}: {explained(code, message, status=status)}")


def explained(code: str | None, message: str, *, status: int | None = None) -> str:
    """What happened and what to do, with the provider's own words."""
    said = quoted(message) or quoted(code or "") or "no reason given"
    found = next((one for one in REMEDIES if one.fits(status, f"{code or ''} {message}")), None)
    if found is None:
        at = "" if status is None else f" (HTTP {status})"
        return f"refused{at}: {said}. Correct what it names, and train again"
    return f"{found.told} ({said}). {found.remedy[0].upper()}{found.remedy[1:]}"


def of_status(
    who: str, status: int, code: str | None, message: str, headers: Mapping[str, str], *, now: datetime
) -> ProviderError:
    """The error for an answer that is none of 2xx. An exhausted quota is final, though many send it as 429."""
    spent = SPENT.search(f"{code or ''} {message}") is not None
    if not spent and (status in {REQUEST_TIMEOUT, TOO_MANY_REQUESTS} or status >= SERVER_ERROR):
        told = "too many requests" if status == TOO_MANY_REQUESTS else f"HTTP {status}"
        return unavailable(who, f"{told} ({quoted(message)})", retry_after_s=retry_after(headers, now=now))
    return refused(who, status, code, message)


def unavailable(who: str, what: str, *, retry_after_s: float | None = None) -> ProviderUnavailableError:
    wait = "" if retry_after_s is None else f"; it asks to wait {retry_after_s:.0f} s"
    error = ProviderUnavailableError(f"{who} did not answer as it should: {what}{wait}. Try again later")
    error.retry_after_s = retry_after_s
    return error


def unreadable(who: str, error: ValidationError) -> ProviderUnavailableError:
    """It names the fields that are not as they should be, and not what stands in them."""
    fields = "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'all of it'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    )
    return unavailable(who, f"{UNREADABLE} ({quoted(fields)})")


def reason(content: bytes | str) -> tuple[str | None, str]:
    """Code and text of an error's body, as OpenAI, Mistral, Google's APIs and FastAPI write them.

    Never the body as it came, and of a validation error no more than its place and reason: either may repeat what was
    sent, which may be training data.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None, ""
    told = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(told, dict):
        return None, _text(told)
    code = told.get("code") or told.get("type") or told.get("status")
    return str(code) if isinstance(code, str | int) else None, _text(
        told.get("message") or told.get("detail")
    )


def _text(told: object) -> str:
    if isinstance(told, list):
        return "; ".join(filter(None, map(_text, told)))
    if not isinstance(told, dict):
        return "" if told is None else str(told)
    if inner := told.get("message") or told.get("detail"):
        return _text(inner)
    place, why = told.get("loc"), told.get("msg")
    where = ".".join(map(str, place)) if isinstance(place, list) else ""
    return f"{where}: {why if isinstance(why, str) else ''}".strip(": ")


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None where it is absent or neither."""
    told = headers.get("retry-after")
    if told is None:
        return None
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = (email.utils.parsedate_to_datetime(told) - now).total_seconds()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def quoted(text: str) -> str:
    """One line of bounded length."""
    plain = " ".join(text.split())
    return plain if len(plain) <= MAX_QUOTE else f"{plain[:MAX_QUOTE]}…"


def is_id(text: str) -> bool:
    return re.match(ID, text) is not None and "\n" not in text
