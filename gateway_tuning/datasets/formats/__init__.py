"""Training files of every provider, one module a family. `FORMATS` has them all by name."""

from collections.abc import Callable, Iterable, Iterator

from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.formats import bedrock, chat, community, openai, services, trl
from gateway_tuning.datasets.formats.format import Format
from gateway_tuning.errors import ConfigurationError

Writer = Callable[[Iterable[Example]], Iterator[str]]

FORMATS: dict[str, Format] = {
    format_.name: format_
    for family in (chat, openai, bedrock, services, trl, community)
    for format_ in family.FORMATS
}

# In these every dataset is exported when it is built; the others are written when they are asked for.
WRITERS: dict[str, Writer] = {"chat": chat.CHAT.lines}


def find(name: str) -> Format:
    """Raises ConfigurationError: there is no format of this name."""
    try:
        return FORMATS[name]
    except KeyError:
        raise ConfigurationError(
            f"No export format {name!r}; there are: {', '.join(sorted(FORMATS))}, and custom with a template"
        ) from None


def writer(name: str) -> Writer:
    return find(name).lines
