"""What only files do; what every storage does stands in tests/contracts."""

import threading

import pytest

from gateway_tuning.errors import ConfigurationError, MissingExtraError
from gateway_tuning.storage.object_store import ObjectStore


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}")


def test_a_write_that_is_under_way_is_seen_by_nobody(store):
    seen = []

    def chunks():
        yield b"half"
        seen.append((store.exists("a"), store.list_keys("")))
        yield b"whole"

    store.write_stream("a", chunks())

    assert seen == [(False, [])]
    assert store.read("a") == b"halfwhole"


@pytest.mark.parametrize("key", ["../escaped", "a/../../escaped", "/escaped"])
def test_a_key_that_leads_out_of_the_folder_is_refused(tmp_path, key):
    store = ObjectStore(f"file://{tmp_path / 'objects'}")

    for act in (lambda: store.write(key, b"x"), lambda: store.read(key), lambda: store.list_keys(key)):
        with pytest.raises(ConfigurationError, match="leads out of"):
            act()
    assert not (tmp_path / "escaped").exists()


def test_writers_of_the_same_bytes_do_not_trip_over_each_other(store):
    failures = []

    def work():
        try:
            for _ in range(100):
                store.write("a", b"same")
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert store.list_keys("") == ["a"]


def test_a_file_where_a_folder_must_be_is_named(store, tmp_path):
    store.write("a", b"x")

    with pytest.raises(ConfigurationError, match=f"{tmp_path / 'a'}"):
        store.write("a/b", b"x")


def test_without_s3fs_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)

    with pytest.raises(MissingExtraError, match=r"llm-gateway-tuning\[s3\]"):
        ObjectStore("s3://bucket")
