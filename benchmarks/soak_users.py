"""Simulated users of a soak: they chat through the gateway, rate answers there, and tell the API what they thought.

What each of them was told is kept: at the end it is held against the store, one id after the other. The people are
simulated, and so are their tastes; gateway, models, receipts and everything behind them are real.
"""

import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from gateway_tuning.evaluation.scoring.words.similarity import word_set_similarity

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import make_feedback as desk
from topics import Topic

LIKED_ABOVE = (
    0.4  # word-set similarity to the beginning of the help desk's answer from which a user is content
)
MOST_TOKENS = 16  # of an answer
SAYS_SO = 0.75  # of users who tell the API what they thought, besides rating at the gateway
MOODY = 0.05  # of ratings that have nothing to do with the answer
PATIENCE_SECONDS = 180.0  # for a receipt; the same record is sent again meanwhile

# What nobody asked in the first days: new products with faults of their own. Few enough words that they are new, and
# enough of them that forty people who ask within minutes do not read like one who wrote forty times.
DEVICES = ("solar charger", "avalanche beacon", "sat phone", "heated glove", "trail camera", "bear siren")
FAULTS = (
    ("firmware", "fails its firmware update", "Pair it over Bluetooth.", "Let the update run to its end."),
    (
        "battery",
        "shows low voltage with lithium cells",
        "Take the cells out.",
        "Read the volts in group mode.",
    ),
    ("pairing", "does not pair over Bluetooth", "Hold the signal key.", "Choose it in the panel app."),
    ("signal", "loses its antenna signal", "Unfold the antenna.", "Calibrate the compass in the open."),
    ("subscription", "asks for an airtime subscription", "Open the airtime portal.", "Enter the IMEI."),
)
NEW_TOPICS = tuple(
    Topic(
        f"{device} {name}",
        f"A {device} that {fault} is put right at home.",
        (f"Switch the {device} off and on.", first, second),
        (
            f"My {device} {fault}.",
            f"Why is it that the {device} {fault}?",
            f"The {device} {fault} since today.",
        ),
    )
    for device in DEVICES
    for name, fault, first, second in FAULTS
)


@dataclass(slots=True)
class Ledger:
    """What users were told. `acknowledged` is a record's id to its receipt's state, `answers` an answer's id to its version."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    unacknowledged: set[str] = field(default_factory=set)
    answers: dict[str, str] = field(default_factory=dict)
    rated: dict[str, float] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    sent_again: int = 0
    seconds: list[float] = field(default_factory=list)


class Users:
    """`pace` is chats a second of all of them together, at most; a slow model slows them down."""

    def __init__(
        self, gateway: str, api: str, *, chat_key: str, feedback_key: str, people: int, pace: float, seed: int
    ) -> None:
        self.ledger = Ledger()
        self.ask_for_new = 0.0  # share of questions about what is new
        self._gateway, self._api = gateway, api
        self._keys = {"chat": chat_key, "feedback": feedback_key}
        self.people = people
        self._pace = pace
        self._rng = random.Random(seed)  # noqa: S311 - invented people
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._next = time.monotonic()
        self._number = 0
        self._threads: list[threading.Thread] = []

    def start(self, *, threads: int = 3) -> None:
        self._next = time.monotonic()
        for number in range(threads):
            self._threads.append(threading.Thread(target=self._live, daemon=True, name=f"users-{number}"))
            self._threads[-1].start()

    def stop(self) -> None:
        """Waits for what is under way: what was not acknowledged by then is told as that."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS + 30)

    def _live(self) -> None:
        with httpx.Client(trust_env=False, timeout=90) as client:
            while not self._stopped.is_set():
                number, user, case = self._come()
                if self._stopped.is_set():
                    return
                self._visit(client, number, user, case)

    def _come(self) -> tuple[int, str, desk.Case]:
        with self._lock:
            at = max(self._next, time.monotonic())
            self._next = at + self._rng.expovariate(self._pace)
            self._number += 1
            number, user = self._number, f"user-{self._rng.randrange(self.people):04}"
            case = desk.make_case(self._rng)
            if self._rng.random() < self.ask_for_new:
                case = self._new_case()
        self._stopped.wait(max(0.0, at - time.monotonic()))
        return number, user, case

    def _new_case(self) -> desk.Case:
        topic = self._rng.choice(NEW_TOPICS)
        prompt = self._rng.choice(topic.wordings) + self._rng.choice(desk.TAILS)
        return desk.Case(topic, prompt, desk.house_answer(topic, {}), "", {})

    def _visit(self, client: httpx.Client, number: int, user: str, case: desk.Case) -> None:
        asked = {
            "model": "assistant",
            "user": user,
            "max_tokens": MOST_TOKENS,
            "temperature": 0,
            "messages": [
                {"role": "system", "content": desk.SYSTEM_PROMPT},
                {"role": "user", "content": case.prompt},
            ],
        }
        started = time.monotonic()
        try:
            reply = client.post(f"{self._gateway}/v1/chat/completions", json=asked, headers=self._as("chat"))
        except httpx.HTTPError as error:
            return self._failed(type(error).__name__)
        if reply.status_code != httpx.codes.OK:
            return self._failed(_code(reply))
        answer = str(reply.json()["choices"][0]["message"]["content"] or "").strip()
        answer_id = reply.headers["x-gateway-answer-id"]
        likes = _is_liked(answer, case.good)
        with self._lock:
            self.ledger.answers[answer_id] = reply.headers["x-gateway-model-version"]
            self.ledger.seconds.append(time.monotonic() - started)
            likes = likes if self._rng.random() >= MOODY else not likes
            speaks = bool(answer) and self._rng.random() < SAYS_SO
        self._rate(client, answer_id, 1.0 if likes else -1.0)
        if speaks:
            token = reply.headers.get("x-gateway-rating-token")
            told = {"answer_id": answer_id, "rating_token": token, "response": answer, "user_id": user}
            self._tell(client, _record(number, case, told, likes=likes))
        return None

    def _rate(self, client: httpx.Client, answer_id: str, score: float) -> None:
        """Its outcome is on its way to the store for a moment; a rating may come before it."""
        for _ in range(8):
            try:
                url = f"{self._gateway}/v1/answers/{answer_id}/rating"
                reply = client.post(url, json={"score": score}, headers=self._as("chat"))
            except httpx.HTTPError:
                reply = None
            if reply is not None and reply.is_success:
                with self._lock:
                    self.ledger.rated[answer_id] = score
                return
            if reply is not None and reply.status_code == httpx.codes.NOT_FOUND:
                time.sleep(0.3)
                continue
            time.sleep(1)
        self._failed("rating given up")

    def _tell(self, client: httpx.Client, record: dict[str, Any]) -> None:
        """Until a receipt comes: sending again is safe."""
        id_ = str(record["id"])
        with self._lock:
            self.ledger.unacknowledged.add(id_)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                url = f"{self._api}/api/model-training/feedback"
                reply = client.post(url, json=record, headers=self._as("feedback"), timeout=30)
                receipts = reply.json().get("receipts") if reply.status_code in {201, 422} else None
            except (httpx.HTTPError, ValueError):
                receipts = None
            if receipts:
                with self._lock:
                    self.ledger.acknowledged[id_] = receipts[0]["state"]
                    self.ledger.unacknowledged.discard(id_)
                return
            with self._lock:
                self.ledger.sent_again += 1
            time.sleep(0.5)

    def _as(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._keys[who]}"}

    def _failed(self, code: str) -> None:
        with self._lock:
            self.ledger.errors[code] += 1


def _is_liked(answer: str, good: str) -> bool:
    """Answers are cut short here: each is held against as many words of the good one."""
    beginning = " ".join(good.split()[: len(answer.split())])
    return word_set_similarity(answer, beginning) >= LIKED_ABOVE


def _record(number: int, case: desk.Case, told: dict[str, Any], *, likes: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": f"soak-{number:06}",
        "type": "thumbs_up" if likes else "correction",
        "prompt": case.prompt,
        "timestamp": datetime.now(UTC).isoformat(),
        "system_prompt": desk.SYSTEM_PROMPT,
        "conversation_id": f"c-soak-{number:06}",
        "metadata": {"topic": case.topic.name},
        **told,
    }
    if not likes:
        record["corrected_response"] = case.good
    return record


def _code(reply: httpx.Response) -> str:
    try:
        return f"{reply.status_code} {reply.json()['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return str(reply.status_code)
