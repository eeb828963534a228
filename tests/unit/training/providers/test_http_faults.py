"""What the wire may do to OpenAI, Together, Fireworks and a custom trainer, and what must come of it: one job."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway_tuning.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    ProviderError,
    ProviderUnavailableError,
)
from gateway_tuning.settings import Settings
from gateway_tuning.training import catalog
from gateway_tuning.training.job import JobStatus, TrainingFiles
from gateway_tuning.training.watching.finding import names
from tests.contracts.provider_cases import WORDS, export
from tests.wire import worlds
from tests.wire.driving import MAY_BE_TRIED_AGAIN, Caller, script, sequences
from tests.wire.faults import failed_reply, lost_reply, lost_request, slow, status

PROVIDERS = sorted(worlds.SPECS)
KEY = "0123456789abcdef" * 4  # as `job_key` makes them
REFUSALS = [400, 401, 403, 422]


@pytest.fixture(scope="module")
def wires(tmp_path_factory):
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(worlds.opened(name, tmp_path_factory.mktemp(name)))
            for name in PROVIDERS
        }


@pytest.fixture(params=PROVIDERS)
def wire(request, wires):
    wires[request.param].clear()
    return wires[request.param]


@pytest.fixture
def spec(wire):
    return next(spec for name, spec in worlds.SPECS.items() if name in type(wire.provider).__name__.lower())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return TrainingFiles(export(folder / "train.jsonl", 12), export(folder / "validation.jsonl", 3))


@pytest.mark.parametrize("name", PROVIDERS)
@given(sequence=sequences)
@settings(max_examples=10)
def test_whatever_may_be_tried_again_ends_in_one_job_that_succeeds(name, sequence, wires, files):
    wire = wires[name]
    wire.clear()
    script(wire.faults, sequence)

    job = Caller(wire.provider).run(KEY, worlds.SPECS[name], files)

    assert job.status is JobStatus.SUCCEEDED
    assert wire.jobs.created == 1
    contents = wire.stored(KEY)
    assert len(contents) == len(set(contents)) == 2  # train and validation, each once


@pytest.mark.parametrize("name", PROVIDERS)
@given(sequence=sequences, code=st.sampled_from(REFUSALS))
@settings(max_examples=10)
def test_a_refusal_among_them_is_final_at_once(name, sequence, code, wires, files):
    wire = wires[name]
    wire.clear()
    script(wire.faults, sequence)
    wire.faults.on("*", ".", status(code))

    with pytest.raises(ProviderError) as refusal:
        Caller(wire.provider).run(KEY, worlds.SPECS[name], files)

    assert not isinstance(refusal.value, ProviderUnavailableError)
    assert str(code) in str(refusal.value) or "key" in str(refusal.value)
    assert wire.jobs.created <= 1


def test_an_accepted_job_whose_reply_was_lost_is_found_in_the_same_submission(wire, spec, files):
    wire.faults.on(*wire.creates, lost_reply())

    if "custom" in spec.provider:  # its PUT may simply be sent again
        with pytest.raises(ProviderUnavailableError):
            wire.provider.submit(KEY, spec, files)
    job = wire.provider.submit(KEY, spec, files)

    assert wire.jobs.created == 1
    assert wire.jobs.get(job.id) is not None


def test_a_rate_limit_tells_how_long_to_wait(wire, spec, files):
    wire.faults.on("*", ".", status(429, retry_after=7))

    with pytest.raises(ProviderUnavailableError, match="7 s") as limit:
        wire.provider.submit(KEY, spec, files)

    assert limit.value.retry_after_s == 7


def test_a_spent_quota_is_no_rate_limit(wire, spec, files):
    spent = {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}
    wire.faults.on("*", ".", status(429, body=spent))

    with pytest.raises(ProviderError, match=r"(?i)raise the limit") as refusal:
        wire.provider.submit(KEY, spec, files)

    assert not isinstance(refusal.value, ProviderUnavailableError)


def test_a_wrong_key_is_told_without_the_key(wire, spec, files):
    wire.faults.on("*", ".", status(401))

    with pytest.raises(ProviderError, match=r"(?i)set a key") as refusal:
        wire.provider.submit(KEY, spec, files)

    assert worlds.KEY.get_secret_value() not in str(refusal.value)


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("bad", ["sk-own\n", "sk-own key", "sk-öwn", ""])
def test_a_key_that_no_header_takes_is_told_without_the_key(name, bad, wires, files, tmp_path):
    asked = worlds.settings(name, wires[name].url, tmp_path)
    field = "custom_trainer_key" if name == "custom" else f"{name}_api_key"
    provider = catalog.provider(name, asked.model_copy(update={field: SecretStr(bad)}))

    with pytest.raises(ConfigurationError, match=rf"(?i){field}") as refusal:
        provider.submit(KEY, worlds.SPECS[name], files)

    assert "sk-" not in str(refusal.value)


def test_a_refusal_that_repeats_what_was_sent_is_told_without_it(wire, spec, files):
    wrong = {"type": "value_error", "loc": ["body", "file"], "msg": "no such form", "input": WORDS}
    wire.faults.on("*", ".", status(422, body={"detail": [wrong]}))

    with pytest.raises(ProviderError, match="no such form") as refusal:
        wire.provider.submit(KEY, spec, files)

    assert WORDS not in str(refusal.value)


def test_a_job_that_is_refused_but_was_made_all_the_same_keeps_its_files(wire, spec, files):
    wire.faults.on(*wire.creates, failed_reply(403))

    if spec.provider == "custom":  # there one request is all of a submission, so the next one finds the job
        with pytest.raises(ProviderError):
            wire.provider.submit(KEY, spec, files)
    job = wire.provider.submit(KEY, spec, files)

    assert wire.jobs.get(job.id) is not None
    assert len(wire.stored(KEY)) == 2


@pytest.mark.parametrize("name", ["fireworks", "openai", "together"])
def test_files_of_a_refused_job_that_cannot_be_deleted_are_told(name, wires, files):
    wire = wires[name]
    wire.clear()
    wire.faults.on(*wire.creates, status(402))
    wire.faults.on("DELETE", ".", status(503))

    with pytest.raises(ProviderError, match=r"(?i)raise the limit.*may still lie there.*503") as refusal:
        wire.provider.submit(KEY, worlds.SPECS[name], files)

    assert not isinstance(refusal.value, ProviderUnavailableError)


def test_a_redirect_is_not_followed_with_training_data(wire, spec, files):
    wire.faults.on("*", "^(?!/elsewhere)", status(307, location="/elsewhere"), times=9)

    with pytest.raises(ProviderError, match="307"):
        wire.provider.submit(KEY, spec, files)

    assert len(wire.faults.requests) == 1


def test_a_status_that_is_not_known_counts_as_running_and_is_told(wire, spec, files):
    job = wire.provider.submit(KEY, spec, files)
    wire.jobs.get(job.id).calls_it = "hibernating"

    seen = wire.provider.poll(job.id)

    assert seen.status is JobStatus.RUNNING
    assert "hibernating" in seen.message


def test_a_stuck_job_is_seen_as_it_is(wire, spec, files):
    job = wire.provider.submit(KEY, spec, files)
    wire.jobs.get(job.id).is_stuck = True

    looks = [wire.provider.poll(job.id) for _ in range(5)]

    assert len({(seen.status, seen.message, seen.progress) for seen in looks}) == 1
    assert not looks[0].status.is_terminal


def test_a_vanished_job_is_not_found(wire, spec, files):
    job = wire.provider.submit(KEY, spec, files)
    wire.jobs.vanish(job.id)

    with pytest.raises(NotFoundError, match=job.id):
        wire.provider.poll(job.id)


def test_a_failed_job_says_why_and_what_to_do(wire, spec, files):
    job = wire.provider.submit(KEY, spec, files)
    wire.jobs.get(job.id).failure = {"code": "invalid_training_file", "message": "flagged by our moderation"}
    seen = Caller(wire.provider).run(KEY, spec, files)

    assert seen.status is JobStatus.FAILED
    assert "flagged by our moderation" in seen.message
    if spec.provider != "custom":  # whose words are its owner's own
        assert "build the dataset again" in seen.message


def test_a_job_is_known_by_its_key_among_those_that_are_listed(wire, spec, files):
    mine = wire.provider.submit(KEY, spec, files)
    others = [f"{number:064x}" for number in range(16**63, 16**63 + 5 * 16**50, 16**50)]
    for key in others:
        wire.provider.submit(key, replace(spec, seed=int(key, 16) % 97), files)

    known = list(wire.provider.known_jobs())

    assert len(known) == 6
    assert [one.seen.id for one in known if names(one, KEY)] == [mine.id]
    assert known[-1].seen.id == mine.id  # newest first


def test_data_of_an_unfinished_job_whose_id_was_never_heard_is_not_discarded(wire, spec, files):
    job = wire.provider.submit(KEY, spec, files)

    with pytest.raises(ConflictError, match="cancel"):
        wire.provider.discard(KEY)

    wire.provider.cancel(job.id)
    wire.provider.discard(KEY)
    assert not wire.holds(KEY, WORDS)


def test_an_answer_that_never_comes_is_given_up(wire, spec, tmp_path):
    wire.faults.on("GET", ".", slow(1.0))
    with pytest.raises(ProviderUnavailableError, match="in time"):
        worlds.build(spec.provider, wire.url, tmp_path, timeout_s=0.2).poll(
            KEY if spec.provider != "fireworks" else "dpoJobs/x"
        )


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_that_nobody_reaches_may_be_asked_again(name, files, tmp_path):
    provider = worlds.build(name, "http://127.0.0.1:9", tmp_path)
    with pytest.raises(ProviderUnavailableError):
        provider.submit(KEY, worlds.SPECS[name], files)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_without_address_or_key_tells_its_capabilities_and_what_to_set(
    name, files, tmp_path, monkeypatch
):
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TOGETHER_API_KEY", "FIREWORKS_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    provider = catalog.provider(name, Settings(home=tmp_path))
    assert "supervised" in provider.capabilities.exports
    with pytest.raises(ConfigurationError, match=rf"set \w*{name.upper()}"):
        provider.submit(KEY, worlds.SPECS[name], files)


def test_no_id_leads_to_another_address(wire):
    for id_ in ("../files", "a/b", "a?b=c", "", "a b", "a\nb"):
        with pytest.raises((NotFoundError, ValueError)):
            wire.provider.poll(id_)
    assert not any("files" in request.path for request in wire.faults.requests)


def test_the_script_of_faults_does_what_it_says(wires, files):
    """Each fault that hypothesis draws is one: a request that meets it is not answered as usual."""
    wire = wires["together"]
    for name, fault in MAY_BE_TRIED_AGAIN.items():
        wire.clear()
        wire.faults.on("GET", ".", fault())
        if name == "nothing":
            list(wire.provider.known_jobs())
            continue
        with pytest.raises(ProviderUnavailableError):
            list(wire.provider.known_jobs())


def test_what_was_not_sent_created_nothing(wire, spec, files):
    wire.faults.on(*wire.creates, lost_request())
    with pytest.raises(ProviderUnavailableError):
        wire.provider.submit(KEY, spec, files)
    assert wire.jobs.created == 0
