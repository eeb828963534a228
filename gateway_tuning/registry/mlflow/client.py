"""MLflow's client as far as a registry needs it, with its errors in our words."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gateway_tuning.errors import ConfigurationError, StoreBusyError, missing_extra
from gateway_tuning.registry.mlflow.tags import ID
from gateway_tuning.settings import Settings

# Before the client is imported, which reads them then. Nobody is told what is done here, and nobody waits for hours.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
_MISSING = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_REFUSED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})
_WRONG = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"})
_PAGE = 200
_CREDENTIALS = re.compile(r"://[^/\s@]+@")  # in an address that MLflow tells


@dataclass(frozen=True, slots=True)
class Held:
    """A version in MLflow, with MLflow's number of it."""

    model: str
    number: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """`aliases` are MLflow's, to MLflow's number."""

    tags: Mapping[str, str]
    aliases: Mapping[str, str]


def open_client(settings: Settings) -> "Client":
    """Raises ConfigurationError, or MissingExtraError."""
    if settings.mlflow_url is None:
        raise ConfigurationError(
            "No MLflow is set up. Set GATEWAY_TUNING_MLFLOW_URL to its address, such as http://127.0.0.1:5000"
        )
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise missing_extra("mlflow-skinny", "mlflow") from error
    url = settings.mlflow_url.get_secret_value()
    with _in_our_words():
        return Client(MlflowClient(tracking_uri=url, registry_uri=url))


class Client:
    """Every method raises StoreBusyError when MLflow does not answer, and ConfigurationError when it refuses."""

    def __init__(self, mlflow: Any) -> None:
        self._mlflow = mlflow

    def model(self, name: str) -> RegisteredModel | None:
        with _in_our_words():
            try:
                found = self._mlflow.get_registered_model(name)
            except _mlflow_error() as error:
                if error.error_code in _MISSING:
                    return None
                raise
        return RegisteredModel(dict(found.tags), {name: str(at) for name, at in found.aliases.items()})

    def create_model(self, name: str, tags: dict[str, str]) -> None:
        with _in_our_words():
            self._mlflow.create_registered_model(name, tags=tags)

    def tag_model(self, name: str, key: str, value: str) -> None:
        with _in_our_words():
            self._mlflow.set_registered_model_tag(name, key, value)

    def find(self, version_id: str) -> Held | None:
        """By our id."""
        found = [
            held
            for held in self._search(f"tags.`{ID}` = {_quoted(version_id)}")
            if held.tags[ID] == version_id
        ]
        return found[0] if found else None

    def versions(self, model: str | None = None) -> list[Held]:
        """Those that were registered from here."""
        return list(self._search(f"tags.`{ID}` LIKE '%'" if model is None else f"name = {_quoted(model)}"))

    def create_version(self, model: str, *, source: str, run_id: str | None, tags: dict[str, str]) -> None:
        with _in_our_words():
            self._mlflow.create_model_version(model, source, run_id=run_id, tags=tags, await_creation_for=0)

    def tag_version(self, held: Held, tags: Mapping[str, str]) -> None:
        """In the order given, one write each."""
        with _in_our_words():
            for key, value in tags.items():
                self._mlflow.set_model_version_tag(held.model, held.number, key, value)

    def set_alias(self, model: str, alias: str, number: str | None) -> None:
        """None removes it."""
        with _in_our_words():
            if number is None:
                self._mlflow.delete_registered_model_alias(model, alias)
            else:
                self._mlflow.set_registered_model_alias(model, alias, number)

    @contextmanager
    def runs(self) -> Iterator[Any]:
        """MLflow's client itself, for what is logged with a run."""
        with _in_our_words():
            yield self._mlflow

    def _search(self, wanted: str) -> Iterator[Held]:
        token: str | None = None
        while True:
            with _in_our_words():
                page = self._mlflow.search_model_versions(wanted, max_results=_PAGE, page_token=token)
            for one in page:
                if ID in one.tags:
                    yield Held(one.name, str(one.version), dict(one.tags))
            token = page.token
            if not token:
                return


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except _mlflow_error() as error:
        told = _CREDENTIALS.sub("://", str(error).splitlines()[0])[:300]
        if error.error_code in _REFUSED:
            raise ConfigurationError(
                f"MLflow refused: {told}. See to MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN"
            ) from error
        if error.error_code in _WRONG:
            raise ConfigurationError(f"MLflow does not take this: {told}") from error
        raise StoreBusyError(f"MLflow did not do it: {told}. Try again") from error


def _mlflow_error() -> "type[Any]":
    from mlflow.exceptions import MlflowException

    return MlflowException  # type: ignore[no-any-return] # untyped


def _quoted(text: str) -> str:
    """As MLflow's filters take it, which have no way to escape a quote."""
    for quote in ("'", '"'):
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise ConfigurationError(f"MLflow cannot look for {text!r}, which holds both kinds of quotes")
