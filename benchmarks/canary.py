"""How often does the canary decide wrongly, how soon does it decide, and what would others have decided?

Every run is a service of its own (`canary_world.py`); the real judge and the real state machine look at it every four
hours. Scenarios of one run share their draws. `--traffic 0.1` shows what a tenth of the users gives. Seeds below 1,000,000
are for choosing; the figures of the documentation are from `--seed 7000000`.
"""

import argparse
import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.canary_peers import CSHARP_DAY, Looks, csharp_score, harm, kayenta, repeated_z
from benchmarks.canary_sums import LOOK_HOURS, LOOKS_A_DAY, PAIRS, REQUESTS, Track
from benchmarks.canary_world import NOTHING, Change, Service, World
from benchmarks.canary_world import Path as Shares
from gateway_tuning.rollout.canary import Canary, Freshness, advance, begin
from gateway_tuning.rollout.judge import Statistics, judge, metrics
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.rollout.sequential import UserSums, half_width

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CanaryPolicy()
MARGINS = POLICY.margins
SCENARIOS = {
    "no change": NOTHING,
    "feedback at the margin": Change(liked=-MARGINS.user_feedback),
    "errors at the margin": Change(errors=MARGINS.error_rate),
    "latency at the margin": Change(latency=math.log1p(MARGINS.latency)),
    "tokens at the margin": Change(tokens=math.log1p(MARGINS.token_count)),
    "relevance at the margin": Change(relevance=-MARGINS.relevance),
    "feedback -10 points": Change(liked=-0.10),
    "errors five times": Change(errors=0.04),
    "latency +30 %": Change(latency=math.log(1.3)),
    "5 % of answers five times slower": Change(stuck=0.05),
    "feedback -1.5 points": Change(liked=-0.015),
    "errors +0.25 points": Change(errors=0.0025),
    "latency +5 %": Change(latency=math.log(1.05)),
    "feedback +3 points": Change(liked=0.03),
    "latency -10 %": Change(latency=math.log(0.9)),
}
PEER_DAYS = 7
KEPT_EVERY = 100  # runs
INFORMATION = (1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Ending:
    state: str
    share: float
    days: float
    score: float | None


@dataclass(slots=True)
class Kept:
    """What was found so far. A file of other runs is refused."""

    of: dict[str, Any]
    endings: dict[str, list[Ending]] = field(default_factory=dict)
    peers: dict[str, Counter[str]] = field(default_factory=dict)
    power: Counter[str] = field(default_factory=Counter)

    @property
    def runs(self) -> int:
        return min((len(ends) for ends in self.endings.values()), default=0)

    def load(self, path: Path) -> None:
        found = json.loads(path.read_text())
        if found["of"] != self.of:
            raise SystemExit(f"{path} has runs of {found['of']}, not of {self.of}: name another file")
        self.endings = {name: [Ending(**one) for one in ends] for name, ends in found["endings"].items()}
        self.peers = {name: Counter(counts) for name, counts in found["peers"].items()}
        self.power = Counter(found["power"])

    def save(self, path: Path) -> None:
        endings = {name: [asdict(one) for one in ends] for name, ends in self.endings.items()}
        path.write_text(
            json.dumps({"of": self.of, "endings": endings, "peers": self.peers, "power": self.power})
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.canary", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="Of each scenario")
    parser.add_argument(
        "--peer-runs", type=int, default=300, help="So many of them are given to the others too"
    )
    parser.add_argument("--traffic", type=float, default=1.0, help="Part of the users")
    parser.add_argument("--stages", type=float, nargs="+", default=POLICY.stages, help="Shares of the ramp")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="All when absent")
    parser.add_argument("--seed", type=int, default=7_000_000)
    parser.add_argument("--json", type=Path, help="Kept every hundred runs; goes on with what is there")
    options = parser.parse_args()
    service = replace(Service(), users=round(Service().users * options.traffic))
    scenarios = {name: SCENARIOS[name] for name in options.scenario or SCENARIOS}
    started = time.process_time()
    policy = CanaryPolicy(stages=options.stages)
    kept = Kept(
        {
            "stages": list(policy.stages),
            "seed": options.seed,
            "users": service.users,
            "scenarios": list(scenarios),
        }
    )
    if options.json and options.json.exists():
        kept.load(options.json)
    for number in range(kept.runs, options.runs):
        world = World(service, (options.seed, number), policy.stages)
        for name, change in scenarios.items():
            kept.endings.setdefault(name, []).append(run(world, change, policy))
            if number < options.peer_runs and policy == POLICY:
                looks = ramp(world, change)
                kept.peers.setdefault(name, Counter()).update(others(looks))
                if change == NOTHING:
                    kept.power.update(powers(looks))
            world.forget(change)
        if options.json and (number + 1) % KEPT_EVERY == 0:
            kept.save(options.json)
    print(
        f"{service.users} users, {service.requests_a_day:.0f} requests a day, {options.runs} runs a scenario"
    )
    print(table(kept.endings))
    if kept.peers:
        print(peer_table(kept.peers, min(options.peer_runs, options.runs)))
        print(power_table(kept.power))
    print(f"{time.process_time() - started:.0f} s of CPU")
    return 0


def run(world: World, change: Change, policy: CanaryPolicy) -> Ending:
    """One canary from its start to its end, by the rules of the product."""
    plan = metrics(policy)
    canary = begin(
        "c", tenant="t", model="m", candidate="v2", control="v1", policy=policy, salt="s", now=START
    )
    days: Shares = ()
    freshness = Freshness(None, None, 0)
    score = None
    while True:
        shares = (canary.share,) * LOOKS_A_DAY
        arms = _arms(world, change, (*days, shares))
        for look in range(LOOKS_A_DAY):
            if shares[look] != canary.share:  # it went up within the day
                shares = shares[:look] + (canary.share,) * (LOOKS_A_DAY - look)
                arms = _arms(world, change, (*days, shares))
            now = START + timedelta(hours=LOOK_HOURS * (len(days) * LOOKS_A_DAY + look + 1))
            freshness = _freshness(freshness, now, arms[0].seen[look], arms[1].seen[look])
            found = judge(_statistics(arms, look), policy, plan)
            before, score = canary, found.score
            canary, _ = advance(canary, found, freshness, now)
            if canary.state != "running":
                return Ending(canary.state, before.share, _days(canary, now), score)
        days = (*days, shares)


def _arms(world: World, change: Change, path: Shares) -> tuple[Track, Track]:
    return world.track("canary", change, path), world.track("control", NOTHING, path)


def _statistics(arms: tuple[Track, Track], look: int) -> Statistics:
    canary, control = (int(arm.users[REQUESTS][look]) for arm in arms)
    return Statistics(
        canary, control, 0, {name: (arms[0].sums(name, look), arms[1].sums(name, look)) for name in PAIRS}
    )


def _freshness(before: Freshness, now: datetime, canary: float, control: float) -> Freshness:
    since = 0 if canary else before.control_users_since + int(control)
    return Freshness(now if canary else before.canary, now if control else before.control, since)


def _days(canary: Canary, now: datetime) -> float:
    return (now - canary.started_at) / timedelta(days=1)


def ramp(world: World, change: Change) -> Looks:
    """The looks of a canary that nobody stops."""
    path = tuple((POLICY.stages[min(day, len(POLICY.stages) - 1)],) * LOOKS_A_DAY for day in range(PEER_DAYS))
    looks: list[Mapping[str, tuple[UserSums, UserSums]]] = []
    for day in range(PEER_DAYS):
        arms = _arms(world, change, path[: day + 1])
        looks += [_statistics(arms, look).sums for look in range(LOOKS_A_DAY)]
    return looks


def others(looks: Looks) -> list[str]:
    plan = [metric for metric in metrics(POLICY) if metric.direction]
    stages = len(POLICY.stages)
    naive = repeated_z(looks, plan, (stages - 1) * LOOKS_A_DAY)
    csharp = csharp_score(looks[CSHARP_DAY * LOOKS_A_DAY - 1], plan) >= POLICY.promotion_threshold
    ends = [LOOKS_A_DAY * (stage + 1) for stage in range(stages)]
    return [
        f"z {naive}",
        f"score {'promoted' if csharp else 'rolled_back'}",
        f"kayenta {kayenta(looks, plan, ends)}",
    ]


def powers(looks: Looks) -> list[str]:
    """Whether no harm was shown at the first look with so many times the planned information, by either test."""
    found: list[str] = []
    for metric in metrics(POLICY):
        if not metric.direction:
            continue
        planned = (3.0 / metric.margin) ** 2
        series = [harm(metric, look[metric.name]) for look in looks[LOOKS_A_DAY:]]
        for times in INFORMATION:
            at = next(((v, e) for v, e in series if 1 / e**2 >= times * planned), None)
            if at is not None:
                value, error = at
                found.append(f"{metric.name} {times} reached")
                if value + 1.6449 * error < metric.margin:
                    found.append(f"{metric.name} {times} fixed")
                if value + half_width(1 / error**2, planned, POLICY.alpha) < metric.margin:
                    found.append(f"{metric.name} {times} sequence")
    return found


def wilson(count: int, of: int) -> tuple[float, float]:
    """95 %."""
    z, share = 1.96, count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    width = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(middle - width, 0.0), min(middle + width, 1.0)


def table(endings: dict[str, list[Ending]]) -> str:
    lines = [
        "| scenario | promoted | rolled back | inconclusive | invalid | median share | median days | score |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, ends in endings.items():
        states = Counter(end.state for end in ends)
        shown = [
            _rate(states[state], len(ends))
            for state in ("promoted", "rolled_back", "inconclusive", "invalid")
        ]
        share = statistics.median(end.share for end in ends)
        days = statistics.median(end.days for end in ends)
        scores = [end.score for end in ends if end.score is not None]
        score = f"{statistics.median(scores):.3f}" if scores else "none"
        lines.append(f"| {name} | {' | '.join(shown)} | {share:.0%} | {days:.1f} | {score} |")
    return "\n".join(lines)


def _rate(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"{count / of:.2%} ({low:.2%} - {high:.2%})"


def peer_table(peers: dict[str, Counter[str]], runs: int) -> str:
    lines = [
        "| scenario | z promoted | z rolled back | score promoted | Kayenta promoted |",
        "|---|---|---|---|---|",
    ]
    for name, counts in peers.items():
        shown = [
            counts[key] / runs
            for key in ("z promoted", "z rolled_back", "score promoted", "kayenta promoted")
        ]
        lines.append(f"| {name} | {' | '.join(f'{share:.1%}' for share in shown)} |")
    return "\n".join(lines)


def power_table(power: Counter[str]) -> str:
    lines = [
        f"| metric | {' | '.join(f'{times:g} V*' for times in INFORMATION)} |",
        "|---|" + "---|" * len(INFORMATION),
    ]
    for name in dict.fromkeys(key.split()[0] for key in power):
        cells = []
        for times in INFORMATION:
            reached = power[f"{name} {times} reached"]
            shares = (
                [power[f"{name} {times} {test}"] / reached for test in ("fixed", "sequence")]
                if reached
                else []
            )
            cells.append(f"{shares[0]:.0%} / {shares[1]:.0%} of {reached}" if shares else "not reached")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
