import pytest

from gateway_tuning.errors import ConflictError, IntegrityError, NotFoundError
from gateway_tuning.storage.object_store import ObjectStore


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}" if request.param == "file" else f"memory://{tmp_path.name}")


def test_what_is_written_is_read_back_and_listed(store):
    digest = store.write("a/b.bin", b"data")

    assert store.read("a/b.bin", sha256=digest) == b"data"
    assert store.list_keys("a") == ["a/b.bin"]


def test_a_missing_object_is_named(store):
    with pytest.raises(NotFoundError, match="a/none"):
        store.read("a/none")


def test_flipped_bytes_are_refused(store):
    digest = store.write("a", b"data")
    store.write("a", b"dato")

    with pytest.raises(IntegrityError, match="does not match"):
        store.read("a", sha256=digest)


def test_writing_the_same_bytes_as_new_again_is_fine(store):
    store.write_new("m", b"one")
    store.write_new("m", b"one")

    assert store.read("m") == b"one"


def test_other_bytes_never_replace_a_new_object(store):
    store.write_new("m", b"one")

    with pytest.raises(ConflictError, match="other content"):
        store.write_new("m", b"two")
    assert store.read("m") == b"one"


def test_a_download_with_the_right_checksum_is_kept(store, tmp_path):
    digest = store.write("a", b"data")
    target = store.download("a", tmp_path / "copy", sha256=digest)
    store.write("a", b"gone")

    assert store.download("a", target, sha256=digest).read_bytes() == b"data"
