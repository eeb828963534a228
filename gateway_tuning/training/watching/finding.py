"""Look for a job at its provider by our key, without the risk of creating it."""

from gateway_tuning.errors import NotFoundError
from gateway_tuning.training.job import ProviderJob
from gateway_tuning.training.provider import KnownJob, Provider, ShowsJobs
from gateway_tuning.training.watching.asking import Line

SHORTEST_KEY = 12


def can_be_looked_for(provider: Provider) -> bool:
    """A local job is found by its key; elsewhere the provider must list what it has."""
    return isinstance(provider, ShowsJobs) or provider.capabilities.is_local


def find(provider: Provider, line: Line, key: str) -> ProviderJob | None:
    """None: it is not there, or `can_be_looked_for` is false."""
    if provider.capabilities.is_local:
        try:
            return line.ask(lambda: provider.poll(key))
        except NotFoundError:
            return None
    if not isinstance(provider, ShowsJobs):
        return None
    found = [known.seen for known in listed(provider, line) if names(known, key)]
    return found[-1] if found else None  # the oldest: later ones are doubles


def listed(provider: ShowsJobs, line: Line) -> list[KnownJob]:
    return line.ask(lambda: list(provider.known_jobs()))


def names(known: KnownJob, key: str) -> bool:
    """Providers that keep short labels only have the beginning of a key."""
    return len(known.key) >= SHORTEST_KEY and key.startswith(known.key)
