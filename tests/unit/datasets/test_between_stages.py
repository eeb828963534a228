"""What lies between the stages of a build is read whole or not at all, and who works on it may die."""

import os
import signal

import numpy as np
import pytest

from gateway_tuning.datasets.building import arrays, codec
from gateway_tuning.datasets.building.workshop import processes
from gateway_tuning.errors import GatewayTuningError, IntegrityError

ARRAYS = arrays.encode({"ids": np.arange(40, dtype=np.uint64), "kinds": np.zeros(3, np.int8)})
SEGMENT = codec.pack({"drafts": ["the same words again"] * 50})


@pytest.mark.parametrize(("decode", "data"), [(arrays.decode, ARRAYS), (codec.unpack, SEGMENT)])
def test_what_was_cut_off_anywhere_is_an_integrity_error(decode, data):
    for kept in range(len(data)):
        with pytest.raises(IntegrityError, match="run the build again"):
            decode(data[:kept])


@pytest.mark.parametrize(("decode", "data"), [(arrays.decode, ARRAYS), (codec.unpack, SEGMENT)])
def test_a_changed_byte_makes_no_other_error(decode, data):
    refused = 0
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        try:
            decode(bytes(changed))
        except IntegrityError:
            refused += 1
    assert refused > len(data) / 2


@pytest.mark.parametrize("words", [[], ["a"], ["a" * 5_000_000]])
def test_what_is_packed_is_unpacked_however_well_it_was_compressed(words):
    assert codec.unpack(codec.pack(words)) == words


def no_workshop():
    return None


def die(_workshop, _job):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_process_of_a_build_is_told_with_what_to_do():
    with (
        processes(no_workshop, 1) as crew,
        pytest.raises(GatewayTuningError, match="fewer processes or a smaller block_records"),
    ):
        crew(die, [1])
