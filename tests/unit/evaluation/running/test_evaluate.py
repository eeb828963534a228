"""Systems behind a real HTTP server: asked, scored, compared, and written down."""

import dataclasses
import json
from collections import Counter

import pytest

from gateway_tuning.datasets.example import ExampleKind
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.evaluate import Stores, System, choose, evaluate
from gateway_tuning.evaluation.judging.store import JudgementStore
from gateway_tuning.evaluation.running.store import PredictionStore
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.settings import EvaluationSettings, JudgeSettings
from gateway_tuning.evaluation.table import DATASET_METADATA, predictions_table
from gateway_tuning.registry.endpoint import Endpoint

SETTINGS = EvaluationSettings(metrics=("similarity", "accuracy"), resamples=1_000, slices=("length",))


def says(model, prompt):
    """`half` gives the first half of the prompt, `mute` and whoever meets the unanswerable nothing."""
    words = prompt.split()
    if model == "mute" or (model == "echo" and "unanswerable" in words):
        return None
    return " ".join(words[: len(words) // 2]) if model == "half" else prompt


@pytest.fixture
def chat(chat):
    chat.says = says
    return chat


@pytest.fixture
def systems(server):
    def make(candidate="echo", stable="half", base=None):
        models = {Role.CANDIDATE: candidate, Role.STABLE: stable} | ({Role.BASE: base} if base else {})
        return [
            System(role, f"version of {role.value}", Endpoint(server, model))
            for role, model in models.items()
        ]

    return make


@pytest.fixture
def examples(make_example):
    return [make_example(number) for number in range(30)]


def test_a_better_candidate_has_an_interval_above_zero(systems, examples):
    result = evaluate(examples, systems(), SETTINGS).result

    assert result.state == "scored"
    assert result.system(Role.CANDIDATE).means["similarity"] == 1.0
    assert result.system(Role.STABLE).means["similarity"] == pytest.approx(0.4)
    assert result.comparison("similarity").difference.low > 0
    assert result.comparison("accuracy").difference.mean == 1.0
    assert len(result.best) == len(result.worst) == len(result.most_changed) == 5
    assert {one.version for one in result.systems} == {"version of candidate", "version of stable"}
    assert json.loads(json.dumps(dataclasses.asdict(result)))["systems"][0]["asked"] == 30


def test_the_base_model_is_asked_the_same_prompts(systems, examples, chat):
    result = evaluate(examples, systems(base="half-base"), SETTINGS).result

    assert {one.role: one.asked for one in result.systems} == dict.fromkeys(Role, 30)
    assert result.comparison("similarity", Role.BASE).difference.n == 30
    assert set(Counter(chat.times_asked).values()) == {1}


@pytest.mark.parametrize(
    ("base", "order"),
    [
        (None, "echo half, half echo, echo half, half echo"),
        ("base", "echo half base, half base echo, base echo half, echo half base"),
    ],
)
def test_systems_take_turns_in_going_first(systems, examples, chat, base, order):
    evaluate(examples[:4], systems(base=base), SETTINGS.model_copy(update={"concurrency": 1}))

    models = [body["model"] for body in chat.asked]
    size = len(models) // 4
    assert ", ".join(" ".join(models[start : start + size]) for start in range(0, len(models), size)) == order


def test_no_request_tells_which_role_it_is_for(systems, examples, chat):
    evaluate(examples[:3], systems("m1", "m2", "m3"), SETTINGS)

    sent = [json.dumps([body, headers]) for body, headers in zip(chat.asked, chat.headers, strict=True)]
    assert len(sent) == 9
    assert not [text for text in sent if any(role.value in text for role in Role)]
    bodies = {json.dumps(body | {"model": "any"}, sort_keys=True) for body in chat.asked}
    assert len(bodies) == 3  # one an example


def test_a_failed_answer_counts_as_a_failure_and_with_the_score_of_one(systems, make_example):
    examples = [make_example(number) for number in range(9)] + [make_example(9, "unanswerable question")]

    result = evaluate(examples, systems(stable="same"), SETTINGS).result

    assert (result.system(Role.CANDIDATE).asked, result.system(Role.CANDIDATE).failed) == (10, 1)
    assert result.system(Role.CANDIDATE).means["similarity"] == pytest.approx(0.9)
    assert result.worst[0].answers["candidate"] is None
    assert result.worst[0].errors["candidate"] == "The answer has no text (stop)"


def test_a_broken_stable_model_makes_the_comparison_invalid_not_the_candidate_better(systems, examples):
    result = evaluate(examples, systems(stable="mute"), SETTINGS).result

    assert result.state == "invalid"
    assert "30 of 30 answers of the stable model failed" in result.reasons[0]


def test_a_split_without_demonstrations_is_no_data(systems, make_example, chat):
    examples = [make_example(1, kind=ExampleKind.PREFERENCE)]

    evaluation = evaluate(examples, systems(), SETTINGS)

    assert evaluation.result.state == "no_data"
    assert evaluation.examples == ()
    assert chat.asked == []


def test_facets_of_the_caller_make_slices_and_remarks_are_told(systems, examples):
    settings = SETTINGS.model_copy(update={"slices": ("topic", "length")})
    told = {"topic": lambda example: "odd" if int(example.id[2:]) % 2 else None}

    result = evaluate(examples, systems(), settings, told=told, remarks=["the base was not asked"]).result

    assert {(one.field, one.value): one.comparison.difference.n for one in result.slices} == {
        ("topic", "odd"): 15,
        ("length", "short"): 30,
    }
    assert "the base was not asked" in result.reasons


def test_a_metric_that_nobody_knows_is_told_before_anybody_is_asked(systems, examples, chat):
    with pytest.raises(ConfigurationError, match="No scorer 'wisdom'"):
        evaluate(examples, systems(), SETTINGS.model_copy(update={"metrics": ("wisdom",)}))

    assert chat.asked == []


def test_the_primary_metric_is_measured_where_the_settings_leave_it_out(systems, examples):
    settings = SETTINGS.model_copy(update={"metrics": ("accuracy",), "primary": "token_f1"})

    result = evaluate(examples[:5], systems(), settings).result

    assert result.comparison("token_f1").difference.mean > 0


def test_a_judge_needs_a_place_for_what_it_says_and_a_primary_metric_somebody_who_is_asked_for_it(
    systems, examples, chat
):
    judge = JudgeSettings(base_url="http://127.0.0.1:9/v1", model="judge")

    with pytest.raises(ConfigurationError, match="give `stores`"):
        evaluate(examples, systems(), SETTINGS.model_copy(update={"judge": judge}))
    with pytest.raises(ConfigurationError, match="there is no judge"):
        evaluate(examples, systems(), SETTINGS.model_copy(update={"primary": "judge_preference"}))
    with pytest.raises(ConfigurationError, match="nobody is probed; set `probes`"):
        evaluate(examples, systems(), SETTINGS.model_copy(update={"primary": "sycophancy"}))
    assert chat.asked == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_judges_preference_is_a_metric_like_any_other(systems, examples, chat, server, engine):
    def judging(model, prompt):
        """Prefers the longer answer, wherever it stands."""
        if model != "judge":
            return says(model, prompt)
        first, second = (
            part.partition(">\n")[2].partition("\n<")[0] for part in prompt.split("<answer-")[1:3]
        )
        better = "tie" if len(first) == len(second) else "A" if len(first) > len(second) else "B"
        return json.dumps({"reason": "it says more", "better": better})

    chat.says = judging
    stores = Stores(
        PredictionStore(engine, "eval-1", "default", "ds-1"), JudgementStore(engine, "default", "ds-1")
    )
    settings = SETTINGS.model_copy(update={"judge": JudgeSettings(base_url=server, model="judge")})

    evaluation = evaluate(examples[:6], systems(), settings, stores=stores)

    assert evaluation.result.comparison("judge_preference").difference.mean == 1.0
    assert (evaluation.result.judge.pairs, evaluation.result.judge.requests) == (6, 12)
    asked = len(chat.asked)
    again = evaluate(examples[:6], systems(), settings, stores=stores)
    assert len(chat.asked) == asked
    assert again.examples == evaluation.examples


def test_nobody_is_paid_to_judge_a_comparison_that_is_invalid(systems, examples, chat, server, engine):
    stores = Stores(
        PredictionStore(engine, "eval-1", "default", "ds-1"), JudgementStore(engine, "default", "ds-1")
    )
    settings = SETTINGS.model_copy(update={"judge": JudgeSettings(base_url=server, model="judge")})

    result = evaluate(examples[:6], systems(stable="mute"), settings, stores=stores).result

    assert (result.state, result.judge) == ("invalid", None)
    assert not [body for body in chat.asked if body["model"] == "judge"]


def test_the_table_has_a_row_an_example_and_role_with_everything(systems, make_example):
    examples = [make_example(number) for number in range(9)] + [make_example(9, "unanswerable question")]
    evaluation = evaluate(examples, systems(), SETTINGS)

    table = predictions_table(evaluation.examples, ["similarity"], ["length", "topic"], dataset_id="ds-1")

    rows = {(row["example_id"], row["role"]): row for row in table.to_pylist()}
    assert len(rows) == 20
    assert table.schema.metadata == {DATASET_METADATA: b"ds-1"}
    half = rows["ex003", "stable"]
    assert half | {"latency_ms": 0} == {
        "example_id": "ex003",
        "group_id": "g3",
        "role": "stable",
        "version": "version of stable",
        "prompt": "one two three four 3",
        "preferred": "one two three four 3",
        "answer": "one two",
        "error": None,
        "latency_ms": 0,
        "prompt_tokens": 5,
        "completion_tokens": 1,
        "facet_length": "short",
        "facet_topic": None,
        "score_similarity": 0.4,
        "notes_similarity": [],
    }
    failed = rows["ex009", "candidate"]
    assert (failed["answer"], failed["score_similarity"]) == (None, 0.0)
    assert failed["notes_similarity"] == ["no answer came: The answer has no text (stop)"]


def test_the_choice_of_examples_does_not_depend_on_their_order(examples):
    settings = EvaluationSettings(max_examples=10)

    assert choose(examples, settings) == choose(examples[::-1], settings)
    assert len(choose(examples, settings)) == 10
    assert choose(examples, EvaluationSettings(max_examples=10, seed=1)) != choose(examples, settings)


def test_probes_make_a_metric_of_who_gives_in_to_a_mistaken_user(systems, make_example, chat):
    """The candidate repeats what the user claims, the stable model knows the answer."""
    known = {
        "opening hours": "The shop opens at nine in the morning and closes at six.",
        "return of shoes": "Shoes can be returned unworn within thirty days by parcel.",
        "payment by invoice": "Invoices are available after three earlier paid orders.",
        "size of the jacket": "The jacket fits one number larger than other brands.",
    }
    examples = [make_example(n, prompt, answer=answer) for n, (prompt, answer) in enumerate(known.items())]
    chat.says = lambda model, prompt: (
        known[prompt.partition("\n")[0]] if model == "half" else f"Yes. {prompt.partition(chr(10))[2]}"
    )
    settings = SETTINGS.model_copy(update={"probes": 3, "primary": "sycophancy"})

    evaluation = evaluate(examples, systems(), settings)

    gave_in = evaluation.result.comparison("sycophancy")
    assert (gave_in.difference.mean, gave_in.difference.n) == (1.0, 3)
    assert not evaluation.result.cards["sycophancy"].higher_is_better
    assert len(chat.asked) == 2 * (4 + 3)
    left_out = [one.scores[Role.CANDIDATE]["sycophancy"] for one in evaluation.examples]
    assert sum(score.notes == ("not among the probes",) for score in left_out) == 1


def test_a_mistaken_user_insists_in_german_where_the_prompt_is_german(systems, make_example, chat):
    pytest.importorskip("py3langid", reason="the enrichment extra is not installed")
    known = {
        "Wann öffnet das Geschäft am Montag?": "Das Geschäft öffnet um neun Uhr morgens und schließt um achtzehn Uhr.",
        "Wie kann ich die Schuhe zurückgeben?": "Ungetragene Schuhe nimmt der Versand dreißig Tage lang als Paket an.",
    }
    examples = [make_example(n, prompt, answer=answer) for n, (prompt, answer) in enumerate(known.items())]

    evaluate(examples, systems(), SETTINGS.model_copy(update={"probes": 2}))

    insisted = [body["messages"][-1]["content"].partition("\n\n")[2] for body in chat.asked]
    assert sum(text.startswith(("Ich ", "Ein Kollege")) for text in insisted) == 4
    assert sum(not text for text in insisted) == 4


def test_tools_that_an_example_offers_are_offered_to_every_system_and_to_no_other_example(
    systems, make_example, chat
):
    tool = {"type": "function", "function": {"name": "orders", "parameters": {"type": "object"}}}
    offering = make_example(1, tools=(json.dumps(tool),))

    evaluate([offering, make_example(2)], systems(), SETTINGS)

    offered = [(body["messages"][-1]["content"][-1], body.get("tools")) for body in chat.asked]
    assert sorted(offered, key=str) == [("1", [tool])] * 2 + [("2", None)] * 2


def test_a_prompt_that_failed_leaves_what_its_probe_showed(systems, make_example, chat):
    """The candidate gives no answer to the plain prompts, and gives in to whoever insists."""
    known = {
        "opening hours": "The shop opens at nine in the morning and closes at six.",
        "return of shoes": "Shoes can be returned unworn within thirty days by parcel.",
    }
    examples = [make_example(n, prompt, answer=answer) for n, (prompt, answer) in enumerate(known.items())]
    chat.says = lambda model, prompt: (
        known[prompt.partition("\n")[0]] if model == "half" else prompt.partition("\n\n")[2] or None
    )

    result = evaluate(examples, systems(), SETTINGS.model_copy(update={"probes": 2})).result

    assert result.system(Role.CANDIDATE).failed == 2
    assert result.comparison("sycophancy").difference.n == 2


def test_probes_that_cannot_be_made_are_told(systems, examples):
    result = evaluate(examples[:3], systems(), SETTINGS.model_copy(update={"probes": 3})).result

    assert any(
        reason.startswith("sycophancy could not be measured: no two examples") for reason in result.reasons
    )
    assert result.comparison("sycophancy") is None


def test_without_probes_there_is_no_such_metric(systems, examples):
    assert "sycophancy" not in evaluate(examples[:3], systems(), SETTINGS).result.cards
