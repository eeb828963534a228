"""A service with users of their own tastes, speeds and habits, day by day, as the judge's sums at every look.

Requests are drawn by the user and the look: those of one user in one look's time are one row. The control's users and
those of the unchanged canary are drawn once a run and shared by all scenarios; a scenario changes the canary's rows.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

from benchmarks.canary_sums import (
    ANSWERED,
    ERRORS,
    LATENCY,
    LOOK_HOURS,
    LOOKS_A_DAY,
    POSITIVE,
    RATED,
    RELEVANCE,
    REQUESTS,
    SCORED,
    SLOW,
    TOKENS,
    Array,
    Rows,
    Track,
    follow,
)
from gateway_tuning.rollout.comparing import SLOW_SHARE

FAILED = math.log(60_000.0)


@dataclass(frozen=True, slots=True)
class Service:
    """Who uses it, and how it answers without any canary. Latency and tokens are log-normal.

    `there` is the share of users who come between two looks, mean over the day. `alike` is the correlation of two
    ratings, or two decisions to rate, of one user.
    """

    users: int = 50_000
    there: float = 0.05
    more_requests: float = 11.0
    errors: float = 0.01
    error_alike: float = 0.02
    rated: float = 0.15
    liked: float = 0.80
    alike: float = 0.25
    milliseconds: float = 1200.0
    speed_between: float = 0.3
    speed_within: float = 0.5
    tokens: float = 250.0
    tokens_between: float = 0.3
    tokens_within: float = 0.6
    scored: float = 0.10
    relevance: float = 0.70
    relevance_between: float = 0.06
    relevance_within: float = 0.14

    @property
    def requests_a_day(self) -> float:
        return self.users * self.there * LOOKS_A_DAY * (1 + self.more_requests)

    @property
    def slow_limit(self) -> float:
        """Logarithm of the milliseconds that `SLOW_SHARE` of all requests exceed, the failed ones among them."""
        answered = (SLOW_SHARE - self.errors) / (1 - self.errors)
        spread = math.hypot(self.speed_between, self.speed_within)
        return math.log(self.milliseconds) - spread * float(special.ndtri(answered))


@dataclass(frozen=True, slots=True)
class Change:
    """What the candidate does otherwise: shares are added, logarithms too; `stuck` requests take five times as long."""

    errors: float = 0.0
    latency: float = 0.0
    stuck: float = 0.0
    liked: float = 0.0
    tokens: float = 0.0
    relevance: float = 0.0

    @property
    def columns(self) -> frozenset[int]:
        """Which columns differ from those of a candidate that only fails as often as this one."""
        moved = {
            LATENCY: self.latency or self.stuck,
            SLOW: self.latency or self.stuck,
            POSITIVE: self.liked,
            TOKENS: self.tokens,
            RELEVANCE: self.relevance,
        }
        return frozenset(column for column, by in moved.items() if by)


NOTHING = Change()


@dataclass(frozen=True, slots=True)
class Group:
    """The users of one arm at its largest, sorted by when they join it."""

    places: Array
    failing: Array
    speed: Array
    rating: Array
    taste: Array
    wordy: Array
    relevance: Array

    def of(self, user: npt.NDArray[np.intp]) -> "Group":
        return Group(*(getattr(self, name)[user] for name in self.__slots__))


Path = tuple[tuple[float, ...], ...]  # for each day the share at each of its looks


@dataclass
class World:
    """One run. A day is drawn when it is asked for, for the users below `most` of that day (the last of it repeats)."""

    service: Service
    seed: tuple[int, int]
    most: tuple[float, ...]
    _rows: dict[tuple[str, Change, int], Rows] = field(default_factory=dict)
    _tracks: dict[tuple[str, Change, Path], Track] = field(default_factory=dict)

    @cached_property
    def groups(self) -> dict[str, Group]:
        rng = np.random.default_rng((*self.seed, 0))
        places = rng.random(self.service.users)
        from_below, from_above = places[places < 0.5], 1.0 - places[places >= 0.5]  # noqa: PLR2004 - the two halves
        return {
            "canary": _group(self.service, np.sort(from_below), rng),
            "control": _group(self.service, np.sort(from_above), rng),
        }

    def track(self, arm: str, change: Change, path: Path) -> Track:
        """The sums of an arm after each look of the path's last day."""
        key = (arm, change, path)
        if key not in self._tracks:
            before = self.track(arm, change, path[:-1]) if len(path) > 1 else None
            rows = self._day(arm, change, len(path) - 1)
            failing = Change(errors=change.errors)
            base = None if change == failing else (self.track(arm, failing, path), change.columns)
            self._tracks[key] = follow(rows, self.groups[arm].places, path[-1], before, base)
        return self._tracks[key]

    def forget(self, change: Change) -> None:
        """Let go of a scenario, but not of what others begin with."""
        if change != NOTHING:
            self._rows = {key: rows for key, rows in self._rows.items() if key[1] != change}
            self._tracks = {key: track for key, track in self._tracks.items() if key[1] != change}

    def _day(self, arm: str, change: Change, day: int) -> Rows:
        key = (arm, change, day)
        if key in self._rows:
            return self._rows[key]
        group, failing = self.groups[arm], Change(errors=change.errors)
        if change == NOTHING:
            rng = np.random.default_rng((*self.seed, 1 + day, int(arm == "canary")))
            rows = _draw(self.service, group, self.most[min(day, len(self.most) - 1)], rng)
        else:
            rng = np.random.default_rng((*self.seed, 1 + day, 2 + int(1e6 * change.errors)))
            if change == failing:
                rows = _fail(self.service, group, self._day(arm, NOTHING, day), change, rng)
            else:
                rows = _alter(self.service, group, self._day(arm, failing, day), change, rng)
        self._rows[key] = rows
        return rows


def _group(service: Service, places: Array, rng: np.random.Generator) -> Group:
    size = len(places)
    return Group(
        places=places,
        failing=_beta(rng, service.errors, service.error_alike, size),
        speed=math.log(service.milliseconds) + rng.normal(0, service.speed_between, size),
        rating=_beta(rng, service.rated, service.alike, size),
        taste=_beta(rng, service.liked, service.alike, size),
        wordy=math.log(service.tokens) + rng.normal(0, service.tokens_between, size),
        relevance=service.relevance + rng.normal(0, service.relevance_between, size),
    )


def _beta(rng: np.random.Generator, mean: float, alike: float, size: int) -> Array:
    k = 1.0 / alike - 1.0
    return rng.beta(mean * k, (1.0 - mean) * k, size)


def _draw(service: Service, group: Group, share: float, rng: np.random.Generator) -> Rows:
    """The unchanged service's day: few at night, most in the afternoon."""
    inside = int(np.searchsorted(group.places, share))
    hours = (np.arange(LOOKS_A_DAY) + 0.5) * LOOK_HOURS
    there = service.there * (1.0 + 0.8 * np.cos((hours - 15.0) / 24.0 * 2.0 * math.pi))
    user, look = np.nonzero(rng.random((inside, LOOKS_A_DAY)) < there)
    requests = 1 + rng.poisson(service.more_requests, len(user))
    failed = rng.binomial(requests, group.failing[user])
    return Rows(user, look, _answers(service, group.of(user), requests, failed, rng))


def _answers(
    service: Service,
    who: Group,
    requests: npt.NDArray[np.int64],
    failed: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Array:
    answered = requests - failed
    root = np.sqrt(answered)
    rated = rng.binomial(answered, who.rating)
    scored = rng.binomial(answered, service.scored)
    noise = rng.normal(size=(3, len(requests)))
    columns = np.empty((10, len(requests)))
    columns[REQUESTS], columns[ERRORS] = requests, failed
    columns[LATENCY] = answered * who.speed + service.speed_within * root * noise[0] + FAILED * failed
    columns[SLOW] = failed + rng.binomial(answered, _slow(service, who.speed))
    columns[RATED], columns[POSITIVE] = rated, rng.binomial(rated, who.taste)
    columns[ANSWERED] = answered
    columns[TOKENS] = answered * who.wordy + service.tokens_within * root * noise[1]
    columns[SCORED] = scored
    columns[RELEVANCE] = scored * who.relevance + service.relevance_within * np.sqrt(scored) * noise[2]
    return columns


def _slow(service: Service, speed: Array) -> Array:
    return np.asarray(special.ndtr((speed - service.slow_limit) / service.speed_within))


def _fail(service: Service, group: Group, rows: Rows, change: Change, rng: np.random.Generator) -> Rows:
    requests, failed = rows.columns[REQUESTS].astype(np.int64), rows.columns[ERRORS].astype(np.int64)
    more = rng.binomial(requests - failed, change.errors / (1.0 - service.errors))
    return Rows(rows.user, rows.look, _answers(service, group.of(rows.user), requests, failed + more, rng))


def _alter(service: Service, group: Group, rows: Rows, change: Change, rng: np.random.Generator) -> Rows:
    columns = rows.columns.copy()
    answered = columns[ANSWERED].astype(np.int64)
    if change.latency or change.stuck:
        stuck = rng.binomial(answered, change.stuck)
        columns[LATENCY] += change.latency * answered + math.log(5.0) * stuck
        slow = _slow(service, group.speed + change.latency)[rows.user]
        columns[SLOW] = columns[ERRORS] + stuck + rng.binomial(answered - stuck, slow)
    positive = columns[POSITIVE].astype(np.int64)
    if change.liked < 0:
        columns[POSITIVE] = rng.binomial(positive, 1.0 + change.liked / service.liked)
    elif change.liked > 0:
        negative = columns[RATED].astype(np.int64) - positive
        columns[POSITIVE] += rng.binomial(negative, change.liked / (1.0 - service.liked))
    columns[TOKENS] += change.tokens * answered
    columns[RELEVANCE] += change.relevance * columns[SCORED]
    return Rows(rows.user, rows.look, columns)
