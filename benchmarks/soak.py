"""Does the whole product come through a week of users, cycles, faults and kills without losing or doubling anything?

Real processes on this machine: PostgreSQL, an S3 server, Prefect's server and worker, the API, the gateway and the
local model service, with a supervisor that starts again what dies. Simulated users chat, rate and give feedback all
the while. Writes `soak.html` and `soak.json`, and ends with 1 where a check does not hold. `--quick` has one cycle.
"""

import argparse
import json
import logging
import os
import platform
import shutil
import signal
import statistics
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import soak_plans as plans
from benchmarks.soak_checks import lives, look, memory
from benchmarks.soak_operator import Operators
from benchmarks.soak_page import render
from benchmarks.soak_parts import Ports, command, create_bucket, environment, parts
from benchmarks.soak_stack import Stack
from benchmarks.soak_users import Users
from benchmarks.soak_week import DAYS, QUICK, Week

SAMPLES_SHOWN = 300
logger = logging.getLogger("soak")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"One cycle and the kills: {','.join(QUICK)}")
    parser.add_argument(
        "--days", default=",".join(DAYS), help="What happens, by commas; default all of it: %(default)s"
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="Users go on until then, at least")
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument(
        "--pace", type=float, default=0.7, help="Chats a second at most, of all users together"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("var/soak"), help="Emptied first")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logger.setLevel(logging.INFO)
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ports = Ports.free()
    settings = environment(folder, ports)
    stack = Stack(parts(folder, ports, settings), settings, folder)
    began = datetime.now(UTC)
    # Asked to end, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as at_the_end:
        at_the_end.callback(stack.stop)
        people, keys = _start(stack, ports, settings)
        users = Users(
            f"http://127.0.0.1:{ports.gateway}",
            people.api,
            chat_key=keys["chat"],
            feedback_key=keys["feedback"],
            people=options.people,
            pace=options.pace,
            seed=options.seed,
        )
        week = Week(
            stack,
            people,
            users,
            database_url=settings["GATEWAY_TUNING_DATABASE_URL"],
            broken_url=f"http://127.0.0.1:{ports.broken}/v1",
        )
        week.run(QUICK if options.quick else options.days.split(","), minutes=options.minutes)
        checked = look(
            settings["GATEWAY_TUNING_DATABASE_URL"],
            users.ledger,
            provider=settings["OPENAI_BASE_URL"],
            provider_key=settings["OPENAI_API_KEY"],
            prefect=settings["PREFECT_API_URL"],
        )
        found: dict[str, Any] = {
            "began": f"{began:%Y-%m-%d %H:%M} UTC",
            "minutes": stack.clock / 60,
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
            "options": {name: str(value) for name, value in vars(options).items()},
            "checks": [asdict(check) for check in checked.checks],
            "events": [asdict(event) for event in week.events],
            "users": _users(users),
            "lives": lives(stack.lives),
            "memory": memory(stack.samples, stack.lives),
            "samples": {part: _thinned(seen) for part, seen in stack.samples.items()},
            "tables": checked.tables,
            "compressed": plans.COMPRESSED,
        }
    _write(folder, found)
    for check in checked.checks:
        print(
            f"{'holds' if check.holds else 'BROKEN':7}{check.counted:7}  {check.what} {', '.join(check.named)}"
        )
    failed = [event for event in week.events if event.failed]
    for event in failed:
        print(f"FAILED  {event.what}: {event.failed}")
    print(f"{folder / 'soak.html'}\n{folder / 'soak.json'}")
    return int(bool(failed) or not all(check.holds for check in checked.checks))


def _start(stack: Stack, ports: Ports, settings: Mapping[str, str]) -> tuple[Operators, dict[str, str]]:
    """Everything up and healthy, as an installation is set up; then the supervisor takes over."""
    for name in ("postgresql", "s3", "prefect", "models", "broken model"):
        _started(stack, name)
    create_bucket(settings)
    _started(stack, "api")
    _started(stack, "gateway")
    logger.info("%s", command(settings, "deploy").strip().splitlines()[-1])
    _started(stack, "worker")
    admins = [_key(settings, "keys", "--name", name, "--role", "ModelAdmin") for name in ("anna", "ben")]
    keys = {
        "feedback": _key(settings, "keys", "--name", "app", "--role", "FeedbackWriter"),
        "chat": _key(settings, "gateway", "keys", "--name", "app"),
    }
    people = Operators(f"http://127.0.0.1:{ports.api}", settings["PREFECT_API_URL"], *admins)
    people.hasten(plans.INTERVALS)
    stack.watch()
    return people, keys


def _key(settings: Mapping[str, str], *arguments: str) -> str:
    group = arguments[: arguments.index("--name")]
    return command(settings, *group, "create", *arguments[len(group) :]).split()[0]


def _started(stack: Stack, name: str) -> None:
    life = stack.start(name)
    logger.info("%s is healthy after %.1f s", name, (life.healthy or 0.0) - life.started)


def _users(users: Users) -> dict[str, Any]:
    told = users.ledger
    return {
        "people": users.people,
        "answers": len(told.answers),
        "median seconds of an answer": statistics.median(told.seconds) if told.seconds else None,
        "ratings taken": len(told.rated),
        "feedback acknowledged": len(told.acknowledged),
        "posts sent again": told.sent_again,
        **{f"failed: {code}": count for code, count in told.errors.most_common()},
    }


def _thinned(seen: list[Any]) -> list[tuple[float, float, float]]:
    every = max(1, len(seen) // SAMPLES_SHOWN)
    return [(round(one.at), round(one.own, 1), round(one.tree, 1)) for one in seen[::every]]


def _write(folder: Path, found: Mapping[str, Any]) -> None:
    (folder / "soak.json").write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")
    page = render(json.loads((folder / "soak.json").read_text(encoding="utf-8")))
    (folder / "soak.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
