"""Lines for people and for machines: with ids, and without what errors of libraries quote."""

import asyncio
import json
import logging
import sys

import pytest

from gateway_tuning.errors import NotFoundError
from gateway_tuning.observability import logs

WORDS = "the words of a user"


@pytest.fixture
def root():
    """The root logger, as it was before once the test has ended."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    before = (list(root.handlers), root.level, ours.level)
    formatters = [handler.formatter for handler in root.handlers]
    yield root
    root.handlers[:], level, of_ours = before[0], before[1], before[2]
    for handler, formatter in zip(root.handlers, formatters, strict=True):
        handler.setFormatter(formatter)
    root.setLevel(level)
    ours.setLevel(of_ours)


def line(format_="json", *, message="hello", args=(), error=None, **extra):
    info = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("gateway_tuning.x", logging.WARNING, "f.py", 1, message, args, info)
    record.__dict__.update(extra)
    told = logs.formatter(format_).format(record)
    return json.loads(told) if format_ == "json" else told


def raised(error, cause=None):
    try:
        try:
            if cause is not None:
                raise cause
        finally:
            raise error
    except type(error) as caught:
        return caught


def test_a_line_carries_the_ids_of_what_is_worked_on_and_loses_them_after():
    with logs.bound(cycle="c1", job=None), logs.bound(stage="train"):
        inside = line()
    assert (inside["cycle"], inside["stage"], "job" in inside) == ("c1", "train", False)
    assert "cycle" not in line()


def test_ids_of_two_requests_at_once_do_not_mix():
    async def answer(name):
        with logs.bound(request=name):
            await asyncio.sleep(0)
            here = line()["request"]
            there = await asyncio.to_thread(lambda: line()["request"])
            return here, there

    async def both():
        return await asyncio.gather(answer("a"), answer("b"))

    assert asyncio.run(both()) == [("a", "a"), ("b", "b")]


def test_json_is_one_object_a_line_whatever_the_message_holds():
    record = logging.LogRecord("gateway_tuning", logging.INFO, "f.py", 1, "two\nlines “quoted”", (), None)
    told = logs.formatter("json").format(record)
    assert told.count("\n") == 0
    assert json.loads(told)["message"] == "two\nlines “quoted”"


def test_fields_stand_beside_the_ids():
    found = line(message='{"status": 200}', fields={"status": 200})
    assert (found["status"], found["message"]) == (200, "x")


@pytest.mark.parametrize("format_", ["text", "json"])
@pytest.mark.parametrize(
    "error",
    [
        raised(ValueError(WORDS)),
        raised(KeyError(WORDS), cause=ValueError(WORDS)),
        raised(NotFoundError("No job f00; list them"), cause=ValueError(WORDS)),
    ],
)
def test_of_an_error_its_type_and_place_are_told_and_only_our_own_words(format_, error):
    told = line(format_, error=error)
    text = told if format_ == "text" else json.dumps(told)
    assert WORDS not in text
    assert type(error).__name__ in text
    assert "test_logs.raised" in text
    assert ("No job f00" in text) is isinstance(error, NotFoundError)


@pytest.mark.parametrize("format_", ["text", "json"])
def test_an_error_within_a_message_is_named_and_what_the_system_says_is_told(format_):
    found = line(
        format_,
        message="%s, %s and %s",
        args=(
            ValueError(WORDS),
            ConnectionRefusedError(111, "Connection refused"),
            NotFoundError("No job f00"),
        ),
    )
    text = found if format_ == "text" else found["message"]
    assert "ValueError, ConnectionRefusedError (Connection refused) and No job f00" in text
    assert WORDS not in line("text", message=ValueError(WORDS))


def test_libraries_tell_warnings_alone_even_where_we_tell_everything(root, capsys):
    root.handlers[:] = []
    logs.configure("debug", "json")
    logs.configure("debug", "json")  # once more replaces the first
    logging.getLogger("httpx").info("HTTP Request: POST https://hooks.example.com/SECRET")
    logging.getLogger("gateway_tuning.x").debug("ours")
    logging.getLogger("another.library").warning("theirs")
    told = [json.loads(one)["message"] for one in capsys.readouterr().err.splitlines()]
    assert told == ["ours", "theirs"]


def test_in_a_flow_run_a_console_writes_json_with_the_runs_ids_if_that_is_wanted(root, capsys):
    console = logging.StreamHandler(sys.stderr)
    root.handlers[:] = [console]
    logs.join("info", "json", [console], lambda: {"run": "r1"})
    with logs.bound(cycle="c1"):
        logging.getLogger("gateway_tuning.x").info("started")
    told = json.loads(capsys.readouterr().err)
    assert (told["run"], told["cycle"], told["message"]) == ("r1", "c1", "started")


def test_another_frameworks_lines_keep_their_form_and_lose_what_errors_of_libraries_say(root, capsys):
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(logging.Formatter("theirs: %(message)s"))
    root.handlers[:] = [console]
    for _ in range(2):
        logs.join("info", "text", [console], dict)
    error = raised(ValueError(WORDS))
    logging.getLogger("gateway_tuning.x").error("it failed: %s", error, exc_info=error)
    told = capsys.readouterr().err
    assert told.startswith("theirs: it failed: ValueError: ValueError at test_logs.raised")
    assert WORDS not in told
