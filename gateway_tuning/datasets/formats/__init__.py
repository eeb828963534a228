"""Writers of providers' training files, one module a format. A provider names the one it reads."""

from collections.abc import Callable, Iterator, Sequence

from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.formats import chat
from gateway_tuning.errors import ConfigurationError

Writer = Callable[[Sequence[Example]], Iterator[str]]

WRITERS: dict[str, Writer] = {"chat": chat.lines}


def writer(name: str) -> Writer:
    try:
        return WRITERS[name]
    except KeyError:
        raise ConfigurationError(
            f"No export format {name!r}; there are: {', '.join(sorted(WRITERS))}"
        ) from None
