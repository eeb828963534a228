import subprocess
import sys
from datetime import timedelta

import pytest

from gateway_tuning.errors import ConflictError
from gateway_tuning.storage import leases


def acquire(engine, owner, now):
    return leases.acquire(engine, "job", owner=owner, now=now, seconds=60)


def test_a_held_lease_is_refused_and_the_holder_named(engine, now):
    acquire(engine, leases.this_process(), now)

    with pytest.raises(ConflictError, match=r"job is held by"):
        acquire(engine, "elsewhere|1|1", now)


def test_an_expired_lease_goes_to_the_next_and_the_old_holder_can_no_longer_write(engine, now):
    old = acquire(engine, "far|1|1", now)
    acquire(engine, "elsewhere|2|2", now + timedelta(seconds=61))

    with pytest.raises(ConflictError, match="taken over"):
        leases.renew(engine, old, now=now, seconds=60)


def test_a_released_lease_is_free_at_once(engine, now):
    leases.release(engine, acquire(engine, "far|1|1", now), now=now)

    assert acquire(engine, "elsewhere|2|2", now).fence == 2


def test_the_lease_of_a_killed_process_of_this_host_is_free_at_once(engine, now):
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from gateway_tuning.storage.leases import this_process as p; print(p(), flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    acquire(engine, child.stdout.readline().strip(), now)
    with pytest.raises(ConflictError):
        acquire(engine, "elsewhere|2|2", now)

    child.kill()
    child.wait()

    assert acquire(engine, "elsewhere|2|2", now).owner == "elsewhere|2|2"
