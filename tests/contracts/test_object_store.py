"""Every kind of object storage behaves alike: a folder, an S3 server, memory."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_tuning.errors import ConflictError, IntegrityError, NotFoundError
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.s3_connection import MIB
from tests.s3 import PAGE, new_bucket, unfinished_uploads

ROOT = Path(__file__).parents[2]
KEYS = ["a", "a/b", "äöü/Ω 漢字.bin", "with space/and+plus&more=%41.json", "deep/" * 12 + "end", "🙂"]
RACES = 8


@pytest.fixture(params=["file", "memory", "s3", "s3-folder"])
def store(request, tmp_path):
    if request.param == "file":
        return ObjectStore(f"file://{tmp_path / 'objects'}")
    if request.param == "memory":
        return ObjectStore(f"memory://{tmp_path.name}")
    connection = request.getfixturevalue("s3")
    folder = "/some/folder" if request.param == "s3-folder" else ""
    return ObjectStore(f"s3://{new_bucket(connection)}{folder}", connection)


def uploads(store):
    return unfinished_uploads(store) if store.url.startswith("s3") else []


@pytest.mark.parametrize("key", KEYS)
def test_what_is_written_is_read_back_whole_and_in_part_and_listed(store, key):
    digest = store.write(key, b"0123456789")

    assert digest == hashlib.sha256(b"0123456789").hexdigest()
    assert store.exists(key)
    assert store.read(key, sha256=digest) == b"0123456789"
    assert store.read_range(key, 3, 7) == b"3456"
    assert store.list_keys("") == [key]
    assert store.list_keys(key) == [key]


def test_a_range_ends_with_the_object(store):
    store.write("a", b"0123456789")

    assert store.read_range("a", 8, 100) == b"89"
    assert store.read_range("a", 10, 20) == b""
    assert store.read_range("a", 5, 5) == b""


def test_an_empty_object_is_an_object(store):
    digest = store.write("empty", b"")
    streamed = store.write_stream("streamed", iter(()))

    assert digest == streamed == hashlib.sha256(b"").hexdigest()
    assert store.read("empty", sha256=digest) == store.read("streamed") == b""
    assert store.list_keys("") == ["empty", "streamed"]


def test_an_empty_object_is_not_replaced_either(store):
    store.write_new("empty", b"")

    with pytest.raises(ConflictError, match="other content"):
        store.write_new("empty", b"something")
    store.write_new("full", b"something")
    with pytest.raises(ConflictError, match="other content"):
        store.write_new("full", b"")
    assert (store.read("empty"), store.read("full")) == (b"", b"something")


def test_a_missing_object_is_named(store):
    for ask in (store.read, lambda key: store.read_range(key, 0, 1)):
        with pytest.raises(NotFoundError, match=r"a/none"):
            ask("a/none")
    assert not store.exists("a/none")


def test_a_folder_is_no_object(store):
    store.write("a/b/c", b"x")

    assert not store.exists("a/b")
    with pytest.raises(NotFoundError):
        store.read("a/b")


def test_a_later_write_replaces(store):
    store.write("a", b"one")
    store.write_stream("a", [b"tw", b"o"])

    assert store.read("a") == b"two"


def test_flipped_bytes_are_refused(store, tmp_path):
    digest = store.write("a", b"data")
    store.write("a", b"dato")
    (tmp_path / "copy").write_bytes(b"before")

    with pytest.raises(IntegrityError, match="does not match"):
        store.read("a", sha256=digest)
    with pytest.raises(IntegrityError, match="does not match"):
        store.download("a", tmp_path / "copy", sha256=digest)
    assert (tmp_path / "copy").read_bytes() == b"before"
    assert not list(tmp_path.glob("copy.*"))


def test_writing_the_same_bytes_as_new_again_is_fine(store):
    assert store.write_new("m", b"one") == store.write_new("m", b"one")
    assert store.read("m") == b"one"


def test_other_bytes_never_replace_a_new_object(store):
    store.write_new("m", b"one")

    with pytest.raises(ConflictError, match="other content"):
        store.write_new("m", b"two")
    assert store.read("m") == b"one"
    assert store.list_keys("") == ["m"]


def test_a_large_object_goes_in_parts_and_comes_back(store, tmp_path):
    data = bytes(range(256)) * (12 * MIB // 256) + b"tail"

    digest = store.write("whole", data)
    streamed = store.write_stream("streamed", (data[i : i + 777_777] for i in range(0, len(data), 777_777)))

    assert digest == streamed
    assert store.read("whole", sha256=digest) == data
    assert store.download("streamed", tmp_path / "copy", sha256=digest).read_bytes() == data
    assert uploads(store) == []


def test_of_large_new_objects_the_second_loses_and_leaves_no_upload(store):
    first, second = b"1" * (6 * MIB), b"2" * (6 * MIB)
    store.write_new("m", first)

    with pytest.raises(ConflictError):
        store.write_new("m", second)
    assert store.read("m") == first
    assert uploads(store) == []


@pytest.mark.parametrize("length", [10, 6 * MIB])
def test_a_stream_that_fails_in_the_middle_leaves_what_was_there(store, length):
    def broken():
        yield b"x" * length
        yield b"y" * length
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write_stream("new", broken())
    store.write("old", b"before")
    with pytest.raises(ZeroDivisionError):
        store.write_stream("old", broken())

    assert store.list_keys("") == ["old"]
    assert store.read("old") == b"before"
    assert uploads(store) == []


def test_a_list_holds_what_is_below_a_folder_and_not_what_begins_alike(store):
    for key in ("a/1", "a/2/3", "ab/4", "a-5", "b"):
        store.write(key, b"x")

    assert store.list_keys("a") == store.list_keys("a/") == ["a/1", "a/2/3"]
    assert store.list_keys("none") == []
    assert store.list_keys("") == ["a-5", "a/1", "a/2/3", "ab/4", "b"]


def test_more_keys_than_one_answer_holds_are_listed(store):
    for number in range(2 * PAGE + 5):
        store.write(f"many/{number:04}", b"")

    assert len(store.list_keys("many")) == 2 * PAGE + 5


def test_delete_tells_whether_something_was_there(store):
    store.write("a/b", b"x")

    assert store.delete("a/b")
    assert not store.delete("a/b")
    assert store.list_keys("a") == []


def test_a_download_with_the_right_checksum_is_kept(store, tmp_path):
    digest = store.write("a", b"data")
    target = store.download("a", tmp_path / "new" / "copy", sha256=digest)
    store.write("a", b"gone")

    assert store.download("a", target, sha256=digest).read_bytes() == b"data"


def test_what_a_killed_writer_left_is_seen_by_nobody_and_swept(store, tmp_path, s3):
    killed = {"file": None, "s3": s3}.get(store.url.split(":")[0], "none")
    if killed == "none":
        pytest.skip("memory dies with its writer")
    _run(WRITER, store, s3)
    left = uploads(store) or list(tmp_path.rglob("*.partial"))

    assert len(left) == 1
    assert store.list_keys("") == []
    assert store.delete_partials("other") == 0
    assert store.delete_partials("deep") == 1
    assert uploads(store) == list(tmp_path.rglob("*.partial")) == []


def test_of_two_processes_one_wins_every_race(store, s3):
    if store.url.startswith("memory"):
        pytest.skip("memory is of one process")
    racers = [_start(RACER, store, s3, name) for name in ("red", "blue")]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [json.loads(racer.communicate(timeout=120)[0]) for racer in racers]

    assert sorted(won[0] + won[1]) == list(range(RACES))
    for winner, numbers in zip(("red", "blue"), won, strict=True):
        assert {store.read(f"race/{number}").decode() for number in numbers} <= {winner}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=40) | st.none()), max_size=12))
def test_it_is_a_mapping_of_keys_to_bytes(store, steps):
    for key in store.list_keys(""):
        store.delete(key)
    model = {}
    for key, data in steps:
        if data is None:
            assert store.delete(key) == (model.pop(key, None) is not None)
        else:
            store.write(key, data)
            model[key] = data
        assert {found: store.read(found) for found in store.list_keys("")} == model


OPEN = """
import sys, json, os, signal
from tests.s3 import reach
from gateway_tuning.storage.object_store import ObjectStore
url, port, name = sys.argv[1:]
store = ObjectStore(url, reach(int(port)))
"""
WRITER = """
def chunks():
    for _ in range(3):
        yield b"x" * 6_000_000
    os.kill(os.getpid(), signal.SIGKILL)
store.write_stream("deep/down", chunks())
"""
RACER = f"""
from gateway_tuning.errors import ConflictError
assert store.honours_conditions
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range({RACES}):
    try:
        store.write_new(f"race/{{number}}", name.encode())
        won.append(number)
    except ConflictError:
        pass
print(json.dumps(won))
"""


def _start(script, store, s3, name="x"):
    command = [sys.executable, "-c", OPEN + script, store.url, s3.endpoint_url.rsplit(":", 1)[1], name]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def _run(script, store, s3):
    child = _start(script, store, s3)
    child.communicate(timeout=120)
    assert child.returncode == -9
