"""Settings that are misspelt, or do not go together. Pure."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from pydantic import AliasChoices

from gateway_tuning.doctor.finding import Finding, fault, ok, warning
from gateway_tuning.settings import PREFIX, Settings

CHECK = "settings"


def check_settings(settings: Settings, variables: Iterable[str]) -> Iterator[Finding]:
    """`variables` are the names in the environment and in `.env`."""
    known = names()
    strange = sorted(
        name for name in {one.upper() for one in variables} if name.startswith(PREFIX) and name not in known
    )
    for name in strange:
        meant = get_close_matches(name, known, n=1, cutoff=0.8)
        hint = f"did you mean {meant[0]}?" if meant else "docs/settings.md lists what can be set"
        yield warning(CHECK, f"{name} is no setting, and nothing reads it", f"Correct or remove it; {hint}")
    clashes = list(_clashes(settings))
    yield from clashes
    if not strange and not clashes:
        yield ok(CHECK, "every variable is known, and they go together")


def names() -> set[str]:
    """Every variable that a setting is read from."""
    found = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        found.add(f"{PREFIX}{name}".upper())
        if isinstance(alias, AliasChoices):
            found |= {choice.upper() for choice in alias.choices if isinstance(choice, str)}
    return found


def _clashes(settings: Settings) -> Iterator[Finding]:
    if settings.require_rating_tokens and settings.rating_token_key is None:
        yield fault(
            CHECK,
            "require_rating_tokens is on and no key signs them: every rating is refused, or none is checked",
            f"Set {PREFIX}RATING_TOKEN_KEY to a secret, for the API and the gateway",
        )
    if settings.jwt_secret is not None and settings.jwt_jwks is not None:
        yield fault(
            CHECK,
            "jwt_secret and jwt_jwks are both set, and one of them must say who issues tokens",
            f"Remove {PREFIX}JWT_SECRET or {PREFIX}JWT_JWKS",
        )
    has_tokens = settings.jwt_secret is not None or settings.jwt_jwks is not None
    if has_tokens and not (settings.jwt_issuer and settings.jwt_audience):
        yield fault(
            CHECK,
            "tokens are configured without the issuer or the audience that they must name",
            f"Set {PREFIX}JWT_ISSUER and {PREFIX}JWT_AUDIENCE",
        )
    if settings.notify_email_to and settings.smtp_url is None:
        yield warning(
            CHECK,
            "notices are to be mailed, and no server sends them",
            f"Set {PREFIX}SMTP_URL, or remove {PREFIX}NOTIFY_EMAIL_TO",
        )
    if settings.object_storage_url and settings.object_storage_url.startswith("memory:"):
        yield warning(
            CHECK,
            "the object storage is in memory: each process has its own, which ends with it",
            f"Set {PREFIX}OBJECT_STORAGE_URL to a file:// or s3:// address",
        )
