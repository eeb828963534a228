"""What only S3 does: settings, conditions, encryption, answers that break off, servers that are away."""

import logging
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    GatewayTuningError,
    StorageUnavailableError,
    StoreBusyError,
)
from gateway_tuning.processes import free_port
from gateway_tuning.settings import Settings
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.s3_connection import MIB, S3Connection
from gateway_tuning.storage.s3_objects import _pieces
from tests.s3 import SECRET, Fault, Proxy, reach, unfinished_uploads


@pytest.fixture
def through(proxy, bucket):
    """A store behind the proxy."""
    return ObjectStore(f"s3://{bucket}", reach(proxy.port))


@pytest.fixture
def careless(s3_port):
    """A server that ignores conditions: it replaces what stands there and says that all is well."""
    proxy = Proxy(s3_port, without=["If-None-Match"])
    proxy.start()
    yield reach(proxy.port)
    proxy.stop()


def test_a_server_that_honours_conditions_is_known_and_the_probe_leaves_nothing(s3, bucket):
    store = ObjectStore(f"s3://{bucket}", s3)

    assert store.honours_conditions
    assert [
        one["Key"] for one in store._place.fs.call_s3("list_objects_v2", Bucket=bucket).get("Contents", [])
    ] == []


def test_a_server_that_ignores_conditions_is_known(careless, bucket):
    assert not ObjectStore(f"s3://{bucket}", careless).honours_conditions


def test_a_server_that_refuses_conditions_is_known_and_written_to_without(proxy, through):
    proxy.set_rule(lambda request: Fault(status=501) if "If-None-Match" in request.headers else None)

    assert not through.honours_conditions
    through.write_new("m", b"one")
    with pytest.raises(ConflictError):
        through.write_new("m", b"two")
    assert through.read("m") == b"one"


def test_where_conditions_are_ignored_other_bytes_still_never_replace(careless, bucket):
    store = ObjectStore(f"s3://{bucket}", careless)
    store.write_new("m", b"one")
    store.write_new("m", b"one")

    with pytest.raises(ConflictError, match="other content"):
        store.write_new("m", b"two")
    assert store.read("m") == b"one"


def test_where_conditions_are_ignored_a_writer_that_was_replaced_at_that_moment_is_told(s3_port, s3, bucket):
    other = ObjectStore(f"s3://{bucket}", s3)
    proxy = Proxy(s3_port, without=["If-None-Match"])
    proxy.start()
    store = ObjectStore(f"s3://{bucket}", reach(proxy.port))
    assert not store.honours_conditions

    def rule(request):  # the reading back comes after the write: between them the other one writes
        if request.method == "GET" and request.path.endswith("/m"):
            other.write("m", b"two")

    proxy.set_rule(rule)
    with pytest.raises(ConflictError, match="other content"):
        store.write_new("m", b"one")
    proxy.stop()


@pytest.mark.parametrize("length", [10, 12 * MIB])
def test_a_new_object_whose_confirmation_was_lost_is_written_once_and_fine(proxy, through, length):
    assert through.honours_conditions
    lost = []

    def rule(request):
        finishing = request.method == ("PUT" if length == 10 else "POST") and "uploads" not in request.path
        if finishing and "partNumber" not in request.path and not lost:
            lost.append(request)
            return Fault(lost=True)
        return None

    proxy.set_rule(rule)
    data = b"x" * length
    try:
        through.write_new("m", data)
    except StorageUnavailableError:  # of an upload in parts nobody can tell; the next run finds it
        through.write_new("m", data)

    assert len(lost) == 1
    assert through.read("m") == data
    assert unfinished_uploads(through) == []


@pytest.mark.parametrize(
    ("encryption", "key_id"), [("AES256", None), ("aws:kms", "alias/ours"), ("aws:kms", None), (None, None)]
)
@pytest.mark.parametrize("length", [10, 6 * MIB])
def test_every_object_is_encrypted_as_set(s3_port, bucket, encryption, key_id, length):
    store = ObjectStore(f"s3://{bucket}", reach(s3_port, encryption=encryption, kms_key_id=key_id))

    store.write("a", b"x" * length)
    store.write_new("b", b"x" * length)

    for key in ("a", "b"):
        head = store._place.fs.call_s3("head_object", Bucket=bucket, Key=key)
        assert head.get("ServerSideEncryption") in {
            encryption,
            "AES256" if encryption is None else encryption,
        }
        assert key_id is None or key_id in head["SSEKMSKeyId"]


@pytest.mark.parametrize(("checksums", "sent"), [("when_supported", True), ("when_required", False)])
def test_checksum_headers_are_sent_to_servers_that_know_them_alone(proxy, bucket, checksums, sent):
    store = ObjectStore(f"s3://{bucket}", reach(proxy.port, checksums=checksums))
    store.write("a", b"data")

    (write,) = [request for request in proxy.seen if request.method == "PUT"]
    assert any(name.lower().startswith("x-amz-checksum") for name in write.headers) is sent
    assert store.read("a") == b"data"


def test_an_answer_that_breaks_off_is_read_again(proxy, through):
    through.write("a", b"0123456789" * 1000)
    proxy.set_rule(lambda request: Fault(cut=request.number == 1))

    assert through.read("a") == b"0123456789" * 1000
    proxy.set_rule(lambda request: Fault(cut=request.number == 1))
    assert through.list_keys("") == ["a"]


def test_answers_that_always_break_off_are_an_error_and_never_half_an_object(proxy, through, tmp_path):
    digest = through.write("a", b"0123456789" * 1000)
    proxy.set_rule(lambda _request: Fault(cut=True))

    for ask in (
        lambda: through.read("a"),
        lambda: through.read_range("a", 5, 5000),
        lambda: through.list_keys(""),
        lambda: through.download("a", tmp_path / "copy", sha256=digest),
    ):
        with pytest.raises(StorageUnavailableError, match=r"s3://.*run again"):
            ask()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_is_overloaded_is_asked_again_and_then_told(proxy, through, status):
    proxy.set_rule(lambda request: Fault(status=status) if request.number == 1 else None)
    through.write("a", b"data")
    assert through.read("a") == b"data"

    proxy.set_rule(lambda _request: Fault(status=status))
    for ask in (lambda: through.write("a", b"x"), lambda: through.read("a"), lambda: through.exists("a")):
        with pytest.raises(StorageUnavailableError, match=r"s3://.*run again"):
            ask()


def test_a_server_that_is_away_is_an_error_and_not_a_missing_object(bucket):
    away = ObjectStore(f"s3://{bucket}", reach(free_port()))

    for ask in (
        lambda: away.exists("a"),
        lambda: away.read("a"),
        lambda: away.list_keys(""),
        lambda: away.delete("a"),
        lambda: away.write("a", b""),
        lambda: away.write_new("a", b""),
        lambda: away.delete_partials(""),
    ):
        with pytest.raises(StorageUnavailableError, match=r"s3://.*run again"):
            ask()


def test_a_server_that_says_nothing_is_given_up_after_the_set_time(proxy, bucket):
    store = ObjectStore(f"s3://{bucket}", reach(proxy.port, read_timeout_s=0.2, attempts=1))
    proxy.set_rule(lambda _request: Fault(delay_s=3))

    with pytest.raises(StorageUnavailableError, match="run again"):
        store.read("a")


def test_a_bucket_that_does_not_exist_is_a_matter_of_settings(s3):
    store = ObjectStore("s3://no-such-bucket-here", s3)

    for ask in (
        lambda: store.write("a", b""),
        lambda: store.list_keys(""),
        lambda: store.write_new("a", b""),
    ):
        with pytest.raises(ConfigurationError, match="bucket of s3://no-such-bucket-here"):
            ask()


def test_a_bucket_that_refuses_is_a_matter_of_settings(proxy, through):
    proxy.set_rule(lambda _request: Fault(status=403))

    with pytest.raises(ConfigurationError, match="check credentials"):
        through.write("a", b"")


def test_without_any_credentials_the_message_says_so(s3_port, bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    connection = S3Connection(endpoint_url=f"http://127.0.0.1:{s3_port}", region="us-east-1")

    with pytest.raises(ConfigurationError, match="check credentials"):
        ObjectStore(f"s3://{bucket}", connection).write("a", b"")


def test_an_upload_that_fails_half_way_leaves_no_parts(proxy, through):
    proxy.set_rule(lambda request: Fault(status=503) if "partNumber=2" in request.path else None)

    with pytest.raises(StorageUnavailableError):
        through.write("a", b"x" * (12 * MIB))
    assert unfinished_uploads(through) == []
    assert not through.exists("a")


def test_no_secret_is_seen_in_logs_reprs_or_errors(through, proxy, caplog):
    caplog.set_level(logging.DEBUG, "s3fs")
    caplog.set_level(logging.DEBUG, "gateway_tuning")
    through.write("a", b"data")
    proxy.set_rule(lambda _request: Fault(status=503))
    with pytest.raises(StorageUnavailableError) as caught:
        through.read("a")

    shown = [repr(through), repr(through._place), repr(reach(1)), str(caught.value), caplog.text]
    shown += [repr(Settings(_env_file=None, s3_secret_access_key=SECRET, s3_access_key_id="access"))]
    assert not [text for text in shown if SECRET in text]


def test_the_error_is_of_our_tree_and_crosses_processes():
    error = pickle.loads(pickle.dumps(StorageUnavailableError("away")))  # noqa: S301 - our own

    assert isinstance(error, GatewayTuningError)
    assert isinstance(error, StoreBusyError)  # the API answers 503 and asks to come back
    assert str(error) == "away"


def test_settings_reach_the_client(s3_port, bucket):
    settings = Settings(
        _env_file=None,
        object_storage_url=f"s3://{bucket}/root",
        s3_endpoint_url=f"http://127.0.0.1:{s3_port}",
        s3_region="eu-central-1",
        s3_access_key_id="access",
        s3_secret_access_key=SECRET,
        s3_path_style=True,
        s3_checksums="when_required",
        s3_connect_timeout_s=3,
        s3_read_timeout_s=7,
        s3_attempts=4,
        s3_retry_mode="adaptive",
        s3_part_bytes=8 * MIB,
    )
    store = ObjectStore.from_settings(settings)
    store.write("a", b"x")
    config = store._place.fs.s3.meta.config

    assert store.read("a") == b"x"
    assert (config.region_name, config.connect_timeout, config.read_timeout) == ("eu-central-1", 3, 7)
    assert (config.retries["mode"], config.retries["total_max_attempts"]) == ("adaptive", 4)
    assert config.s3["addressing_style"] == "path"
    assert config.request_checksum_calculation == config.response_checksum_validation == "when_required"
    assert store._place.part_bytes == 8 * MIB


def test_credentials_come_by_the_usual_chain_where_none_are_set(proxy, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unseen")
    connection = S3Connection(endpoint_url=f"http://127.0.0.1:{proxy.port}", region="us-east-1")

    ObjectStore(f"s3://{bucket}", connection).write("a", b"x")

    assert "from-the-environment" in proxy.seen[-1].headers["Authorization"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"key": SecretStr("k")}, "needs its secret"),
        ({"secret": SecretStr("s")}, "needs its secret"),
        ({"kms_key_id": "k"}, "aws:kms"),
        ({"kms_key_id": "k", "encryption": "AES256"}, "aws:kms"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(fields, said):
    with pytest.raises(ConfigurationError, match=said):
        S3Connection(**fields)


@given(st.lists(st.binary(max_size=30), max_size=8), st.integers(1, 20))
def test_parts_hold_the_same_bytes_at_full_length_but_the_last(chunks, length):
    pieces = list(_pieces(chunks, length))

    assert b"".join(pieces) == b"".join(chunks)
    assert {len(piece) for piece in pieces[:-1]} <= {length}
    assert len(pieces[-1]) <= length
    assert pieces[-1] or len(pieces) == 1
