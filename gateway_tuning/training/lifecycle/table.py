"""Whether a base model can be tuned and served on a day, by dated rows. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase

from gateway_tuning.training.cost.prices import plain

SOON_DAYS = 90
EXPORTS = {"supervised": "trl-sft", "dpo": "trl-dpo", "kto": "trl-kto", "reinforcement": "trl-sft"}


class State(StrEnum):
    OK = "ok"
    ENDING = "ending"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class Purpose(StrEnum):
    TUNE = "tune"
    SERVE = "serve"  # what was tuned before


@dataclass(frozen=True, slots=True)
class Row:
    """What a source says of base models whose name is, or matches, `model`.

    The dates are the first days on which it is no longer possible; None: none is told. `is_deprecated`: the provider
    advises against it and tells no date.
    """

    provider: str
    model: str
    source: str
    checked_on: date
    no_new_jobs_from: date | None = None
    inference_ends_on: date | None = None
    is_deprecated: bool = False
    replaced_by: str = ""
    note: str = ""

    def end_of(self, purpose: Purpose) -> date | None:
        """A model that is served no more is tuned no more either."""
        ends = [self.inference_ends_on]
        if purpose is Purpose.TUNE:
            ends.append(self.no_new_jobs_from)
        return min((end for end in ends if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`days_left` is until `ends_on`; both are None where no date is told. `told` is for people, with the source."""

    state: State
    told: str
    ends_on: date | None = None
    days_left: int | None = None


def verdict(
    rows: Sequence[Row], provider: str, model: str, today: date, *, purpose: Purpose = Purpose.TUNE
) -> Verdict:
    """The earliest end of all rows that the model matches."""
    found = [row for row in rows if row.provider == provider and fnmatchcase(plain(model), row.model)]
    if not found:
        return Verdict(State.UNKNOWN, f"nothing is known here of how long {provider} offers {model}")
    dated = [(end, row) for row in found if (end := row.end_of(purpose)) is not None]
    if dated:
        end, row = min(dated, key=lambda one: (one[0], -len(one[1].model)))
        return _by_date(end, [row, *found], model, today, purpose)
    deprecated = next((row for row in found if row.is_deprecated), None)
    if deprecated is not None:
        told = f"{provider} has deprecated tuning {model} and tells no date{_more([deprecated])}"
        return Verdict(State.ENDING, told)
    return Verdict(State.OK, f"{provider} tells no end of {model}{_more(found)}")


def way_out(method: str) -> str:
    """How the data goes on to another provider."""
    return (
        f"The data is yours: gateway-tuning datasets export DATASET --for {EXPORTS.get(method, 'trl-sft')} "
        "(or together, fireworks, mistral; `gateway-tuning datasets formats` lists all)"
    )


def refuse_faults(rows: Iterable[Row], *, today: date) -> list[str]:
    """What is wrong with a table, by row: no source, checked in the future, twice the same."""
    faults, seen = [], set()
    for row in rows:
        named = f"{row.model!r} at {row.provider}"
        if not row.source.startswith("https://") and row.source != "own":
            faults.append(f"{named} has no source")
        if row.checked_on > today:
            faults.append(f"{named} was checked on {row.checked_on}, which is to come")
        if (row.provider, row.model) in seen:
            faults.append(f"{named} stands there twice")
        if None not in (row.no_new_jobs_from, row.inference_ends_on) and (
            row.no_new_jobs_from > row.inference_ends_on  # type: ignore[operator]
        ):
            faults.append(f"{named} takes jobs for longer than it is served")
        seen.add((row.provider, row.model))
    return faults


def _by_date(end: date, found: Sequence[Row], model: str, today: date, purpose: Purpose) -> Verdict:
    left, provider = (end - today).days, found[0].provider
    what = "takes no more tuning jobs for" if purpose is Purpose.TUNE else "no longer serves"
    if left <= 0:
        return Verdict(State.CLOSED, f"{provider} {what} {model} since {end}{_more(found)}", end, left)
    told = f"{provider} {what} {model} from {end} on, in {left} {'day' if left == 1 else 'days'}"
    if purpose is Purpose.TUNE:
        served = [one.inference_ends_on for one in found if one.inference_ends_on is not None]
        if served and min(served) != end:
            told += f"; what was tuned is served until {min(served)}"
    return Verdict(State.ENDING if left <= SOON_DAYS else State.OK, f"{told}{_more(found)}", end, left)


def _more(rows: Sequence[Row]) -> str:
    once = list(dict.fromkeys(rows))
    notes = [row.note for row in once if row.note]
    others = [f"use {row.replaced_by}" for row in once if row.replaced_by]
    sources = list(dict.fromkeys(row.source for row in once if row.source != "own"))
    parts = [*notes, *others, *sources]
    return f" ({'; '.join(parts)})" if parts else ""
