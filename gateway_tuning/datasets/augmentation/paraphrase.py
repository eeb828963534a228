"""The augmenter `paraphrase`: any OpenAI-compatible endpoint is asked for the prompt in other words.

What is sent is anonymized. What comes back is checked (`reply`), and by the caller for personal data, for a model may
make some up. A request that fails costs its variants and no more; where many fail in a row, the rest is not asked for.
"""

import asyncio
import os
from typing import TYPE_CHECKING, Any

from gateway_tuning.datasets.augmentation import reply
from gateway_tuning.datasets.augmentation.draws import Draws
from gateway_tuning.datasets.augmentation.policy import ParaphraseEndpoint
from gateway_tuning.datasets.augmentation.protocol import LanguageOf, Lost, Variant
from gateway_tuning.datasets.example import Example
from gateway_tuning.errors import ConfigurationError, missing_extra

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_RETRIES = 2  # by the SDK, on connection errors, 408, 409, 429 and 5xx; it waits as long as Retry-After says
_TRIES_LAST = 4  # times the timeout: how long one request may take with its retries
_GIVE_UP_AFTER = 20  # failed requests in a row
_SEEDS = 2**31


class ParaphraseAugmenter:
    """At most `concurrency` requests at a time. `timeout_s` is for one try."""

    name = "paraphrase"
    invents = True

    def __init__(
        self,
        endpoint: ParaphraseEndpoint,
        language_of: LanguageOf,
        *,
        concurrency: int = 8,
        timeout_s: float = 60.0,
    ) -> None:
        """Raises ConfigurationError where the key's variable is not set, MissingExtraError without openai."""
        try:
            import openai  # noqa: F401 - asked for before anything is sent
        except ImportError:
            raise missing_extra("openai", "openai") from None
        self._endpoint = endpoint
        self._key = _key(endpoint)
        self._language_of = language_of
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._open: tuple[AsyncOpenAI, asyncio.Semaphore] | None = None
        self._failed_in_a_row = 0

    async def variants(self, example: Example, count: int, seed: int) -> list[Variant | Lost]:
        prompt = example.prompt
        if not count or not prompt.strip():
            return []
        client, slots = self._client()
        async with slots:
            if self._failed_in_a_row >= _GIVE_UP_AFTER:
                return [Lost("paraphrase_given_up")] * count
            answer = await self._ask(client, example, count, seed)
        if isinstance(answer, Lost):
            return [answer] * count
        how = self._endpoint.model
        found: list[Variant | Lost] = []
        taken: set[str] = set()
        for text in answer[:count]:
            fault = "repeated" if text in taken else reply.fault(prompt, text, self._language_of)
            found.append(Lost(f"paraphrase_{fault}") if fault else Variant(text, how))
            taken.add(text)
        return found + [Lost("paraphrase_missing")] * (count - len(found))

    async def close(self) -> None:
        if self._open is not None:
            await self._open[0].close()
        self._open = None
        self._failed_in_a_row = 0

    async def _ask(self, client: "AsyncOpenAI", example: Example, count: int, seed: int) -> list[str] | Lost:
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        messages: Any = reply.messages(example.prompt, count, seed, example.id)
        response_format: Any = reply.RESPONSE_FORMAT
        try:
            async with asyncio.timeout(_TRIES_LAST * self._timeout_s):
                completion: Any = await client.chat.completions.create(
                    model=self._endpoint.model,
                    messages=messages,
                    response_format=response_format,
                    temperature=self._endpoint.temperature,
                    seed=Draws(seed, example.id, self.name).below(_SEEDS),
                )
        except (TimeoutError, APITimeoutError):
            reason = "paraphrase_timeout"
        except APIStatusError as error:
            reason = f"paraphrase_status_{error.status_code}"
        except APIConnectionError:
            reason = "paraphrase_connection"
        except (OpenAIError, ValueError):  # ValueError: the SDK reads the body, which is cut or no JSON
            reason = "paraphrase_unreadable"
        else:
            self._failed_in_a_row = 0
            return _read(completion)
        self._failed_in_a_row += 1
        return Lost(reason)

    def _client(self) -> "tuple[AsyncOpenAI, asyncio.Semaphore]":
        from openai import AsyncOpenAI

        if self._open is None:
            client = AsyncOpenAI(
                base_url=self._endpoint.base_url,
                api_key=self._key,
                timeout=self._timeout_s,
                max_retries=_RETRIES,
            )
            self._open = client, asyncio.Semaphore(self._concurrency)
        return self._open


def _read(completion: Any) -> list[str] | Lost:
    """The SDK does not check what it builds an answer from: any part may be missing or of another type."""
    try:
        choice = completion.choices[0]
        content, refused = choice.message.content, getattr(choice.message, "refusal", None)
    except (AttributeError, IndexError, TypeError, KeyError):
        return Lost("paraphrase_unreadable")
    if refused:
        return Lost("paraphrase_refusal")
    if not isinstance(content, str):
        return Lost("paraphrase_no_answer")
    found = reply.paraphrases(content)
    return Lost("paraphrase_no_json") if found is None else found


def _key(endpoint: ParaphraseEndpoint) -> str:
    if endpoint.api_key_env is None:
        return "none"  # local servers ask for none, the SDK does
    key = os.environ.get(endpoint.api_key_env, "")
    if not key:
        raise ConfigurationError(
            f"Endpoint {endpoint.base_url} takes its key from the environment variable "
            f"{endpoint.api_key_env}, which is not set"
        )
    return key
