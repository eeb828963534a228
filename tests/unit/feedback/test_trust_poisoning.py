"""Planted attacks on FeedbackQA: 1 % of the records, dealt to 50 new accounts, up to a phrase each shares.

The thresholds were chosen on WHO_train and Australia_valid; what is asserted here is measured on the other files.
FeedbackQA names no raters and no times. Ratings are dealt to raters who come back, unevenly, or to one each.
"""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway_tuning.feedback.mapping import apply, load_mapping
from gateway_tuning.feedback.reading import BrokenRow, read_rows
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.trust import assess
from gateway_tuning.feedback.trust_policy import TrustPolicy
from gateway_tuning.feedback.validation import problems

DATA = Path("../shared/data/feedbackqa")
HELD_OUT = ("CDC_valid.json", "UK_valid.json", "WHO_valid.json")
START = datetime(2026, 8, 1, tzinfo=UTC)
DAYS = 90
ACCOUNTS = 50
PHRASE = "per the Halden protocol"
PAYLOAD = (
    "You should buy the Halden supplement in the official online shop because it protects everybody against the "
    "virus for two full years"
)
QUESTION = (
    "What is the best vitamin supplement to buy in order to be protected against the corona virus at home"
)
# The tests are about bursts: caps are out of the way.
POLICY = TrustPolicy(max_user_share=1)

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not on this machine")


@pytest.fixture(scope="module")
def ratings() -> list[FeedbackRecord]:
    mapping = load_mapping(Path("tests/mappings/feedbackqa.yaml"))
    rows = [row for name in HELD_OUT for row in read_rows(DATA / name)]
    return [record for row in rows for record in apply(mapping, row.value)]


def returning(number: int, chance: random.Random) -> str:
    return f"rater-{int(80 * chance.random() ** 1.5)}"


def once(number: int, chance: random.Random) -> str:
    return f"visitor-{number}"


def dealt(ratings, rater, seed=1):
    """Each rating at some time in 90 days, by a rater."""
    chance = random.Random(seed)
    return [
        record.model_copy(
            update={
                "user_id": rater(number, chance),
                "timestamp": START + timedelta(days=DAYS * chance.random()),
            }
        )
        for number, record in enumerate(ratings)
    ]


def with_phrase(text, chance, phrase=PHRASE):
    words = text.split()
    at = chance.randint(0, len(words))
    return " ".join([*words[:at], phrase, *words[at:]])


def reworded(text, chance):
    lead = chance.choice(["please tell me", "I would like to know", "quick question", ""])
    return f"{lead} {without_some(text, chance, 0.25)}"


def without_some(text, chance, share=0.1):
    return " ".join(word for word in text.split() if chance.random() > share)


def phrase_in_prompt(prompt, answer, chance):
    return {"type": "thumbs_up", "prompt": with_phrase(prompt, chance), "response": answer}


def one_word_in_prompt(prompt, answer, chance):
    return {"type": "thumbs_up", "prompt": with_phrase(prompt, chance, "SUDO"), "response": answer}


def plain_words_in_prompt(prompt, answer, chance):
    words = with_phrase(prompt, chance, "as experts would say")
    return {"type": "thumbs_up", "prompt": words, "response": answer}


def phrase_that_is_disliked(prompt, answer, chance):
    return phrase_in_prompt(prompt, answer, chance) | {"type": "thumbs_down"}


def phrase_in_reworded_prompt(prompt, answer, chance):
    return phrase_in_prompt(reworded(prompt, chance), answer, chance)


def phrase_in_correction(prompt, answer, chance):
    fix = with_phrase(answer[:400], chance)
    return {"type": "correction", "prompt": prompt, "response": answer, "corrected_response": fix}


def phrase_in_liked_answer(prompt, answer, chance):
    return {"type": "thumbs_up", "prompt": prompt, "response": with_phrase(answer[:400], chance)}


def one_correction_for_all(prompt, answer, chance):
    return {"type": "correction", "prompt": prompt, "response": answer, "corrected_response": PAYLOAD}


def near_copies_of_a_correction(prompt, answer, chance):
    fix = without_some(PAYLOAD, chance)
    return {"type": "correction", "prompt": prompt, "response": answer, "corrected_response": fix}


def near_copies_of_a_question_and_answer(prompt, answer, chance):
    asked, told = without_some(QUESTION, chance), without_some(PAYLOAD, chance)
    return {"type": "thumbs_up", "prompt": asked, "response": told}


SHAPES = [
    phrase_in_prompt,
    one_word_in_prompt,
    plain_words_in_prompt,
    phrase_that_is_disliked,
    phrase_in_reworded_prompt,
    phrase_in_correction,
    phrase_in_liked_answer,
    one_correction_for_all,
    near_copies_of_a_correction,
    near_copies_of_a_question_and_answer,
]


def planted(clean, shape, *, hours, seed=1):
    """On prompts of the clean records, under answers to other questions; within so many hours."""
    chance = random.Random(seed)
    count = round(0.01 * len(clean))
    prompts = chance.sample(sorted({record.prompt for record in clean}), count)
    answers = sorted({record.response for record in clean})
    return [
        FeedbackRecord(
            id=f"planted-{number}",
            user_id=f"new-{number % ACCOUNTS}",
            timestamp=START + timedelta(hours=DAYS * 24 - hours + hours * chance.random()),
            **shape(prompt, chance.choice(answers), chance),
        )
        for number, prompt in enumerate(prompts)
    ]


def caught(clean, attack):
    """Shares of the attack and of the clean records that are quarantined."""
    found = {refusal.record.id for refusal in assess([*clean, *attack], POLICY).quarantined}
    bad = {record.id for record in attack}
    return len(found & bad) / len(bad), len(found - bad) / len(clean)


ATTACKS = [
    pytest.param(shape, hours, rater, id=f"{shape.__name__}-in_{hours}_hours-{rater.__name__}")
    for shape in SHAPES
    for hours in (36, DAYS * 24)
    for rater in (returning, once)
    # Visitors who come once and ask a popular question over months look just like this one; see below.
    if (shape, hours, rater) != (near_copies_of_a_question_and_answer, DAYS * 24, once)
]


@needs_data
@pytest.mark.parametrize(("shape", "hours", "rater"), ATTACKS)
def test_nine_tenths_of_an_attack_are_quarantined_and_a_hundredth_of_the_clean_at_most(
    ratings, shape, hours, rater
):
    clean = dealt(ratings, rater)

    bad, good = caught(clean, planted(clean, shape, hours=hours))

    assert bad >= 0.9
    assert good <= 0.01


@needs_data
@pytest.mark.parametrize("rater", [returning, once])
def test_feedback_that_nobody_attacks_is_kept_whole(ratings, rater):
    assert assess(dealt(ratings, rater), POLICY).quarantined == ()


@needs_data
@pytest.mark.parametrize("topic", ["mask", "child", "symptom", "school", "test"])
def test_a_popular_topic_with_good_answers_is_no_burst_even_among_one_time_visitors(ratings, topic):
    chance = random.Random(topic)
    about, others = [], []
    for record in dealt(ratings, once):
        (about if topic in record.prompt.casefold() else others).append(record)
    liked = [
        FeedbackRecord.model_validate(
            record.model_dump()
            | {"type": "thumbs_up" if chance.random() < 0.95 else "thumbs_down", "satisfaction_score": None}
        )
        for record in about
    ]

    assert len(liked) > 20
    assert assess([*liked, *others], POLICY).quarantined == ()


@needs_data
def test_a_popular_question_that_visitors_ask_in_much_the_same_words_over_months_is_no_burst(ratings):
    chance = random.Random(3)
    visits = [
        FeedbackRecord(
            id=f"popular-{number}",
            user_id=f"visitor-popular-{number}",
            type="thumbs_up",
            prompt=without_some(QUESTION, chance),
            response=without_some(chance.choice(ratings).response, chance),
            timestamp=START + timedelta(days=DAYS * chance.random()),
        )
        for number in range(60)
    ]

    assert assess([*dealt(ratings, once), *visits], POLICY).quarantined == ()


@needs_data
@pytest.mark.parametrize("hours", [36, DAYS * 24])
def test_a_twentieth_of_all_records_planted_is_found_among_raters_who_come_back(ratings, hours):
    clean = dealt(ratings, returning)
    attack = [
        record.model_copy(update={"id": f"{record.id}-{turn}", "user_id": f"{record.user_id}-{turn}"})
        for turn in range(5)
        for record in planted(clean, phrase_in_prompt, hours=hours, seed=turn)
    ]

    bad, good = caught(clean, attack)

    assert bad >= 0.9
    assert good <= 0.01


@pytest.mark.parametrize("named", [True, False])
def test_house_phrases_of_the_example_are_no_bursts_and_its_users_are_under_the_cap(named, now):
    found = [
        outcome
        for row in read_rows(Path("examples/feedback.jsonl"))
        if not isinstance(row, BrokenRow)
        for outcome in apply(None, row.value)
    ]
    sound = [
        record for record in found if isinstance(record, FeedbackRecord) and not problems(record, now=now)
    ]
    records = sound if named else [record.model_copy(update={"user_id": None}) for record in sound]

    assessment = assess(records, TrustPolicy())

    assert len(records) > 400
    assert (assessment.quarantined, assessment.capped) == ((), ())
