"""JSON over HTTP with a provider whose SDK is not worth its weight: one question, one answer, errors in our words.

Nothing is tried again here: who asks knows whether it may be, and waits as long as the provider says.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from gateway_tuning.errors import ConfigurationError, ProviderError, missing_extra
from gateway_tuning.training.providers import answers
from gateway_tuning.training.providers.submission import Upload

if TYPE_CHECKING:
    import httpx

Read = TypeVar("Read", bound=BaseModel)


class Anything(BaseModel):
    """An answer of which nothing is read."""


NOT_FOUND = 404
CONFLICT = 409
EXTRA = "rest-providers"


class Rest:
    """`address` ends before the first slash of the paths; it and `key` are asked for with the first question."""

    def __init__(
        self,
        who: str,
        address: Callable[[], str],
        key: Callable[[], SecretStr | None],
        timeout_s: float,
    ) -> None:
        self.who = who
        self._address = address
        self._key = key
        self._timeout_s = timeout_s

    @cached_property
    def _client(self) -> "httpx.Client":
        key = self._key()
        headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        # Redirects are not followed: they would carry training data to a host that nobody named.
        client: httpx.Client = _httpx().Client(
            base_url=self._address().rstrip("/"), headers=headers, timeout=self._timeout_s
        )
        return client

    def ask(self, model: type[Read], method: str, path: str, **parts: Any) -> Read:
        """The answer, read as `model`. `parts` are httpx's: params, json, data.

        Raises:
            ProviderError: refused for good.
            ProviderUnavailableError: no answer, or none that can be read.
        """
        return self._read(model, self._sent(method, path, parts))

    def ask_for(self, model: type[Read], method: str, path: str, **parts: Any) -> Read | None:
        """As `ask`; None where there is no such object."""
        response = self._sent(method, path, parts, also=NOT_FOUND)
        return None if response.status_code == NOT_FOUND else self._read(model, response)

    def make(self, model: type[Read], method: str, path: str, **parts: Any) -> Read | None:
        """As `ask`; None where the object that is to be made under a given id is there already."""
        response = self._sent(method, path, parts, also=CONFLICT)
        return None if response.status_code == CONFLICT else self._read(model, response)

    def send(self, model: type[Read], path: str, upload: Upload, fields: Mapping[str, str]) -> Read:
        """A file as multipart/form-data, read from the disk as it goes."""
        with upload.path.open("rb") as content:
            parts = {"data": dict(fields), "files": {"file": (upload.name, content, "application/jsonl")}}
            return self._read(model, self._sent("POST", path, parts))

    def put_files(
        self, model: type[Read], path: str, fields: Mapping[str, str], uploads: Iterable[Upload]
    ) -> Read | None:
        """A form whose files are named by their splits. None where the object is there already and is another one."""
        with ExitStack() as stack:
            files = {
                upload.split: (upload.name, stack.enter_context(upload.path.open("rb")), "application/jsonl")
                for upload in uploads
            }
            return self.make(model, "PUT", path, data=dict(fields), files=files)

    def delete(self, path: str) -> bool:
        """False: it was not there."""
        return self._sent("DELETE", path, {}, also=NOT_FOUND).status_code != NOT_FOUND

    def download(self, path: str, to: Path) -> str:
        """Write a file as it comes. Returns its sha256; what it is to be, only the asker knows."""
        digest = sha256()
        with self._talking(), self._client.stream("GET", path) as response, to.open("wb") as file:
            if not response.is_success:
                response.read()
                raise self._error(response)
            for part in response.iter_bytes():
                digest.update(part)
                file.write(part)
        return digest.hexdigest()

    def _sent(
        self, method: str, path: str, parts: Mapping[str, Any], *, also: int | None = None
    ) -> "httpx.Response":
        with self._talking():
            response: httpx.Response = self._client.request(method, path, **parts)
        if response.is_success or response.status_code == also:
            return response
        raise self._error(response)

    @contextmanager
    def _talking(self) -> Iterator[None]:
        httpx = _httpx()
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ConfigurationError(
                f"The address of {self.who} is none: {error}. Correct its setting"
            ) from None
        except httpx.TimeoutException:
            raise answers.unavailable(self.who, "no answer in time") from None
        except httpx.HTTPError as error:
            raise answers.unavailable(self.who, str(error)) from None

    def _error(self, response: "httpx.Response") -> ProviderError:
        code, message = answers.reason(response.content)
        return answers.of_status(
            self.who, response.status_code, code, message, response.headers, now=datetime.now(UTC)
        )

    def _read(self, model: type[Read], response: "httpx.Response") -> Read:
        try:
            return model.model_validate_json(response.content or b"{}")
        except ValidationError as error:
            raise answers.unreadable(self.who, error) from None


def _httpx() -> Any:
    try:
        import httpx
    except ModuleNotFoundError:
        raise missing_extra("httpx", EXTRA) from None
    return httpx
