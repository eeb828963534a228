"""The judge's sums over users after every look of a day, without a loop over looks or users."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway_tuning.rollout.sequential import UserSums

Array = npt.NDArray[np.float64]

REQUESTS, ERRORS, LATENCY, SLOW, RATED, POSITIVE, ANSWERED, TOKENS, SCORED, RELEVANCE = range(10)
PAIRS: dict[str, tuple[int, int]] = {
    "error_rate": (REQUESTS, ERRORS),
    "latency": (REQUESTS, LATENCY),
    "slow": (REQUESTS, SLOW),
    "user_feedback": (RATED, POSITIVE),
    "token_count": (ANSWERED, TOKENS),
    "relevance": (SCORED, RELEVANCE),
    "feedback_rate": (ANSWERED, RATED),
}
LOOK_HOURS = 4
LOOKS_A_DAY = 24 // LOOK_HOURS
_COUNTS = (REQUESTS, RATED, ANSWERED, SCORED)
_PRODUCTS = sorted({tuple(sorted(pair)) for n, t in PAIRS.values() for pair in ((n, n), (n, t), (t, t))})


@dataclass(frozen=True, slots=True)
class Rows:
    """A day's rows sorted by user, then look; `columns` has one for each of REQUESTS to RELEVANCE."""

    user: npt.NDArray[np.intp]
    look: npt.NDArray[np.intp]
    columns: Array


@dataclass(frozen=True, slots=True)
class Track:
    """Sums after each look of a day. `totals` are looks by columns, `seen` users by look, `carry` the summed columns by users."""

    users: dict[int, Array]
    totals: Array
    products: dict[tuple[int, int], Array]
    seen: Array
    carry: Array

    def sums(self, name: str, look: int) -> UserSums:
        n, t = PAIRS[name]
        return UserSums(
            int(self.users[n][look]),
            float(self.totals[look, n]),
            float(self.totals[look, t]),
            float(self.products[n, n][look]),
            float(self.products[min(n, t), max(n, t)][look]),
            float(self.products[t, t][look]),
        )


def follow(
    rows: Rows,
    places: Array,
    shares: tuple[float, ...],
    before: Track | None,
    base: tuple[Track, frozenset[int]] | None = None,
) -> Track:
    """Add a day to the track of the day `before`; a row counts once its user's place is below the look's share.

    `base` is a track of the same rows but for some columns, none of which counts anything: only these are summed again.
    """
    changed = frozenset(range(10)) if base is None else base[1]
    pairs = [pair for pair in PAIRS.values() if changed & set(pair)]
    columns = sorted({column for pair in pairs for column in pair})
    place = {column: at for at, column in enumerate(columns)}
    carry = np.zeros((len(columns), len(places))) if before is None else before.carry.copy()
    user, look, added = rows.user, rows.look, rows.columns if base is None else rows.columns[columns]
    inside = places[user] < np.array(shares)[look]
    if not inside.all():
        user, look, added = user[inside], look[inside], added[:, inside]
    after = np.cumsum(added, axis=1)
    if len(user):
        first = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
        sizes = np.diff(np.r_[first, len(user)])
        of_others = np.hstack([np.zeros((len(columns), 1)), after[:, first[1:] - 1]])
        after += np.repeat(carry[:, user[first]] - of_others, sizes, axis=1)
        carry[:, user[first]] = after[:, first + sizes - 1]
    earlier = after - added

    def by_look(values: Array, so_far: Array | None) -> Array:
        added_up: Array = np.cumsum(np.bincount(look, weights=values, minlength=LOOKS_A_DAY))
        return added_up if so_far is None else so_far[-1] + added_up

    products = {
        (a, b): by_look(
            after[place[a]] * after[place[b]] - earlier[place[a]] * earlier[place[b]],
            before.products[a, b] if before else None,
        )
        for a, b in _PRODUCTS
        if a in place and b in place and changed & {a, b}
    }
    totals = np.empty((LOOKS_A_DAY, 10)) if base is None else base[0].totals.copy()
    for column in changed:
        totals[:, column] = by_look(added[place[column]], before.totals[:, column] if before else None)
    if base is not None:
        return Track(base[0].users, totals, base[0].products | products, base[0].seen, carry)
    # Rounding of the running sum must not make a user of one who has no observation.
    new = {n: (np.rint(earlier[n]) == 0) & (np.rint(after[n]) > 0) for n in _COUNTS}
    users = {n: by_look(new[n].astype(np.float64), before.users[n] if before else None) for n in _COUNTS}
    seen = np.bincount(look, minlength=LOOKS_A_DAY).astype(np.float64)
    return Track(users, totals, products, seen, carry)
