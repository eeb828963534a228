"""Writes `feedback.jsonl`: what users of a fictional outdoor shop's help desk thought of its assistant.

Deterministic, standard library only: `python examples/make_feedback.py` writes the same bytes each time.
Liked answers and corrections share a house style, disliked ones are chatty, so that a small model has
something to learn. Personal data is planted and invented: reserved domains, 555-01xx numbers, test IBANs.
"""

# ruff: noqa: PLR2004 - shares of an invented population
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from topics import TOPICS, Topic

SEED = 20260901
FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
DAYS = 55  # to 25 October
USERS = 230
SYSTEM_PROMPT = "You are the support assistant of Northwind Outfitters."
COUNTS = {
    "correction": 165,
    "thumbs_up": 145,
    "thumbs_down": 45,
    "reformulation": 30,
    "text": 16,
    "automatic_evaluation": 16,
}
RIVALS = 25  # thumbs down that another user gave to a liked prompt's other answer
DUPLICATES = 12
PERSONAL_SHARE = 0.16
Record = dict[str, Any]


ITEMS = (
    "rain jacket",
    "tent",
    "backpack",
    "sleeping bag",
    "headlamp",
    "camping stove",
    "fleece",
    "water bottle",
    "pair of hiking boots",
    "trekking pole",
    "hammock",
    "cooler",
    "thermos flask",
    "wool hat",
    "climbing rope",
)
OPENERS = ("", "", "Hi, ", "Hello, ", "Good morning, ", "Hey, ", "Dear team, ", "Quick question: ")
TAILS = ("", "", " Thanks.", " Please help.", " What can I do?", " It is rather urgent.", " Can you help me?")
TAILS += (" I tried twice already.", " Thank you in advance.", " I could not find it on your site.")
CHATTY_STARTS = (
    "Great question! As a language model I am always happy to assist you with your request today.",
    "I totally understand how frustrating this can be, and I am so sorry to hear about your experience!",
    "Sure thing! There are many possible things to consider in a situation like the one you describe.",
    "Thank you so much for reaching out! That certainly sounds like a very inconvenient situation for you.",
    "Absolutely! Let me share some general thoughts that could perhaps be useful in your particular case.",
)
CHATTY_MIDDLES = (
    "In general, companies handle {topic} matters in different ways, and policies may vary widely.",
    "When it comes to {topic}, it really depends on a lot of factors that I do not know about.",
    "Usually {topic} problems sort themselves out sooner or later, so patience could be a good approach.",
    "You may want to look around the website, since {topic} pages are often somewhere in the menu.",
)
CHATTY_ENDS = (
    "You might consider contacting customer service for more details. I hope this helps, have a wonderful day!",
    "Let me know if you would like me to explain anything else, I am here around the clock for you!",
    "I hope that gives you some useful ideas! Feel free to ask me anything else that comes to your mind.",
)
FIRST_NAMES = ("Marta", "Oliver", "Priya", "Daniel", "Sofia", "Thomas", "Grace", "Henrik", "Laura", "Samuel")
LAST_NAMES = (
    "Lindqvist",
    "Bennett",
    "Sharma",
    "Kowalski",
    "Moreno",
    "Fischer",
    "Okafor",
    "Johansen",
    "Whitfield",
)
STREETS = ("Maple Street", "Station Road", "Mill Lane", "Harbour Avenue", "Church Street", "Oak Drive")
TOWNS = ("Springfield", "Riverside", "Fairview", "Georgetown", "Salem")
TEST_IBANS = ("GB33BUKB20201555555555", "DE89370400440532013000", "FR1420041010050500013M02606")
DISLIKES = ("Too long and says nothing.", "This did not help.", "It talks a lot but there are no steps.")
LIKES = ("Short and clear.", "Exactly what I needed.", "Solved in a minute.")


class Case(NamedTuple):
    """A question of a user with the answers it could get."""

    topic: Topic
    prompt: str
    good: str
    chatty: str
    slots: dict[str, str]


def make_case(rng: random.Random) -> Case:
    topic = rng.choice(TOPICS)
    slots = {"order": f"{rng.randrange(10_000, 99_999)}", "item": rng.choice(ITEMS)}
    wording = rng.choice(topic.wordings).format(**slots)
    said, answered = personal_data(rng) if rng.random() < PERSONAL_SHARE else ("", "")
    prompt = rng.choice(OPENERS) + wording + said + rng.choice(TAILS)
    return Case(
        topic, prompt, house_answer(topic, slots, answered), chatty_answer(rng, topic, answered), slots
    )


def house_answer(topic: Topic, slots: dict[str, str], personal: str = "") -> str:
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(topic.steps, start=1))
    text = f"Hello and thank you for writing to us.\n{topic.fix}{personal}\n{steps}\nStill stuck? Just reply to this message.\nYour Northwind team"
    return text.format(**slots)


def chatty_answer(rng: random.Random, topic: Topic, personal: str = "") -> str:
    middle = rng.choice(CHATTY_MIDDLES).format(topic=topic.name)
    return f"{rng.choice(CHATTY_STARTS)} {middle}{personal} {rng.choice(CHATTY_ENDS)}"


def personal_data(rng: random.Random) -> tuple[str, str]:
    """What the user tells about himself, and how an answer repeats it."""
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    email = f"{first}.{last}@example.{rng.choice(('com', 'org'))}".lower()
    phone = f"202-555-01{rng.randrange(100):02}"
    address = f"{rng.randrange(1, 180)} {rng.choice(STREETS)}, {rng.choice(TOWNS)}"
    iban = rng.choice(TEST_IBANS)
    return rng.choice(
        (
            (f" My name is {first} {last} and my e-mail is {email}.", f" We also write to {email}."),
            (f" Please call {first} {last} at {phone}.", f" We call {first} {last} at {phone}."),
            (
                f" I live at {address}. Regards, {first} {last}.",
                f" We have noted {address} for {first} {last}.",
            ),
            (f" My IBAN is {iban}, {first} {last}.", f" We have noted the account {iban} of {first} {last}."),
        )
    )


def make_records(rng: random.Random) -> list[Record]:
    """Valid records, ordered by time."""
    users = [f"user-{number:03}" for number in range(1, USERS + 1)]
    seats = users + rng.sample(users, 110) + rng.sample(users, sum(COUNTS.values()) - USERS - 110)
    rng.shuffle(seats)
    bodies = [body for kind in COUNTS if kind != "thumbs_down" for body in bodies_of(rng, kind)]
    liked = [body for body in bodies if body["type"] == "thumbs_up"]
    bodies += [rival(rng, body) for body in rng.sample(liked, RIVALS)]
    bodies += [rated(rng, make_case(rng), liked=False) for _ in range(COUNTS["thumbs_down"] - RIVALS)]
    records = [with_circumstances(rng, body, user) for body, user in zip(bodies, seats, strict=True)]
    records.sort(key=lambda record: str(record["timestamp"]))
    for number, record in enumerate(records, start=1):
        record["id"] = f"fb-{number:04}"
    del records[100]["id"]  # one export forgot it: it gets an id from its content
    return records


def bodies_of(rng: random.Random, kind: str) -> list[Record]:
    make = {"correction": correction, "thumbs_up": rated, "reformulation": reformulation, "text": comment}
    make["automatic_evaluation"] = evaluation
    return [make[kind](rng, make_case(rng)) for _ in range(COUNTS[kind])]


def body_of(case: Case, kind: str, response: str, **more: Any) -> Record:
    metadata = {"topic": case.topic.name, "source": "help desk"}
    return {"type": kind, "prompt": case.prompt, "response": response, "metadata": metadata, **more}


def correction(rng: random.Random, case: Case) -> Record:
    more = {"comment": rng.choice(DISLIKES)} if rng.random() < 0.3 else {}
    return body_of(
        case, "correction", case.chatty, corrected_response=case.good, satisfaction_score=-0.5, **more
    )


def rated(rng: random.Random, case: Case, *, liked: bool = True) -> Record:
    more: Record = {"comment": rng.choice(LIKES if liked else DISLIKES)} if rng.random() < 0.2 else {}
    if rng.random() < 0.5:
        more["satisfaction_score"] = 1.0 if liked else -1.0
    return body_of(case, "thumbs_up" if liked else "thumbs_down", case.good if liked else case.chatty, **more)


def rival(rng: random.Random, liked: Record) -> Record:
    topic = next(topic for topic in TOPICS if topic.name == liked["metadata"]["topic"])
    case = Case(topic, liked["prompt"], liked["response"], chatty_answer(rng, topic), {})
    return rated(rng, case, liked=False)


def reformulation(rng: random.Random, case: Case) -> Record:
    """Most second wordings got a good answer; some got none, some another bad one."""
    plain = f"I have a question about {case.topic.name}." + rng.choice(TAILS)
    first = case._replace(prompt=rng.choice(OPENERS) + plain)
    fate = rng.random()
    if fate < 0.07:
        return body_of(first, "reformulation", case.chatty, reformulated_prompt=case.prompt)
    answer, score = (chatty_answer(rng, case.topic), -0.6) if fate < 0.14 else (case.good, 0.8)
    more = {"reformulated_response": answer, "satisfaction_score": score}
    return body_of(first, "reformulation", case.chatty, reformulated_prompt=case.prompt, **more)


def comment(rng: random.Random, case: Case) -> Record:
    liked = rng.random() < 0.4
    more: Record = {"comment": rng.choice(LIKES if liked else DISLIKES)}
    if rng.random() < 0.7:
        more["satisfaction_score"] = 0.7 if liked else -0.7
    return body_of(case, "text", case.good if liked else case.chatty, **more)


def evaluation(rng: random.Random, case: Case) -> Record:
    liked = rng.random() < 0.5
    score = round(rng.uniform(0.4, 0.95) * (1 if liked else -1), 2)
    body = body_of(
        case, "automatic_evaluation", case.good if liked else case.chatty, satisfaction_score=score
    )
    return {**body, "metadata": {**body["metadata"], "evaluator": "house-style-check"}}


def with_circumstances(rng: random.Random, body: Record, user: str) -> Record:
    when = FIRST_DAY + timedelta(days=rng.randrange(DAYS), seconds=rng.randrange(7 * 3600, 21 * 3600))
    record: Record = {
        "id": "",
        "user_id": user,
        **body,
        "timestamp": when.isoformat().replace("+00:00", "Z"),
        "user_segment": rng.choice(("consumer", "consumer", "business")),
        "system_prompt": SYSTEM_PROMPT,
        "model_version": "support-1",
        "deployment": "stable",
    }
    if body["type"] == "automatic_evaluation":
        del record["user_id"]  # an evaluator is no user
    if rng.random() < 0.9:
        record["conversation_id"] = f"c-{rng.getrandbits(40):010x}"
        record["request"] = {
            "session_id": f"s-{rng.getrandbits(40):010x}",
            "client_application": rng.choice(("web", "web", "ios", "android")),
            "parameters": {"temperature": "0.7"},
            "prompt_tokens": len(body["prompt"]) // 4 + 12,
            "response_tokens": len(body["response"]) // 4,
            "processing_time_ms": round(rng.lognormvariate(6.6, 0.4), 1),
        }
    if rng.random() < 0.06:
        record["history"] = [
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": "Hello, what can we do for you?"},
        ]
    return record


def broken_lines(sound: Record) -> list[str]:
    """Each would be a record but for one fault or two."""

    def spoiled(number: int, **changes: Any) -> str:
        return json.dumps({**sound, "id": f"fb-broken-{number:02}", **changes}, ensure_ascii=False)

    twin = {"type": "correction", "corrected_response": sound["response"]}
    return [
        spoiled(1)[:180],
        spoiled(2).replace('"prompt"', "prompt"),
        spoiled(3, prompt=["Where", "is", "it?"]),
        spoiled(4, satisfaction_score="very good"),
        spoiled(5, prompt=""),
        spoiled(6, response="  "),
        spoiled(7, type="correction", corrected_response=""),
        spoiled(8, satisfaction_score=3),
        spoiled(9, timestamp="2090-01-01T00:00:00Z"),
        spoiled(10, comment="@").replace('"@"', '"half an emoji: \\ud83d"'),
        spoiled(11, type="smile"),
        spoiled(12, timestamp="2026-09-14T12:00:00"),
        spoiled(13, **twin),
        spoiled(14, type="reformulation"),
        spoiled(15, prompt="", satisfaction_score=-4, type="frown"),
        '["a", "list", "is", "no", "record"]',
    ]


def make_lines() -> list[str]:
    rng = random.Random(SEED)
    records = make_records(rng)
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    again = [line for line in rng.sample(lines, DUPLICATES + 1) if '"id"' in line][:DUPLICATES]
    sound = next(record for record in records if record["type"] == "thumbs_up")
    for line in again + broken_lines({**sound, "satisfaction_score": 1.0}):
        lines.insert(rng.randrange(len(lines) // 2, len(lines)), line)
    return lines


if __name__ == "__main__":
    target = Path(__file__).with_name("feedback.jsonl")
    lines = make_lines()
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    print(f"{target.name}: {len(lines)} lines")
