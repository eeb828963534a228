"""What the line of a training file says, and what is wrong with it under a format's rules. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway_tuning.datasets.example import Example, ExampleKind, ToolCall, Turn
from gateway_tuning.datasets.formats.jsonl import NotARowError, parse

TALK = frozenset(("system", "user", "assistant"))
TALK_AND_TOOLS = TALK | {"tool"}


@dataclass(frozen=True, slots=True)
class Fault:
    """`reason` is one of few, so that it can be counted; `where` points into the line."""

    reason: str
    remedy: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """An example without its ids and its split.

    `answer` is None where the line has none. `answer_calls` are calls of tools in the answer, which an example cannot
    hold. `learned` is false where the line gives its answer the weight 0.
    """

    kind: ExampleKind
    messages: tuple[Turn, ...]
    answer: str | None
    rejected: str | None = None
    desirable: bool | None = None
    tools: tuple[str, ...] = ()
    answer_calls: tuple[ToolCall, ...] = ()
    learned: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """What a format can carry. `ends`: roles that the turn before the answer may have; None: any.

    `reserved` matches what no text may hold, `function_name` what the name of a tool must be.
    """

    roles: frozenset[str] = TALK
    alternates: bool = False
    system_first: bool = True
    single_turn: bool = False
    ends: frozenset[str] | None = None
    reserved: re.Pattern[str] | None = None
    function_name: re.Pattern[str] = re.compile(r".+", re.DOTALL)

    @property
    def tools(self) -> bool:
        return "tool" in self.roles


def content_of(example: Example) -> Content:
    return Content(
        example.kind,
        example.messages,
        example.answer,
        example.rejected,
        example.desirable,
        example.tools,
    )


def system_prompt(messages: Sequence[Turn]) -> str | None:
    return messages[0].content if messages and messages[0].role == "system" else None


def faults(content: Content, rules: Rules) -> Iterator[Fault]:
    if not any(turn.role in ("user", "tool") for turn in content.messages):
        yield Fault("no message of a user", "put the user's message before the answer")
    if rules.single_turn and sum(turn.role != "system" for turn in content.messages) > 1:
        yield Fault("several turns, and the format carries one", "keep the last question, or leave it out")
    for place, turn in enumerate(content.messages, start=1):
        yield from _turn_faults(turn, rules, f"message {place}")
    yield from _answer_faults(content, rules)
    yield from _order_faults(content, rules)
    if rules.tools:
        yield from _call_faults(content)
        yield from _name_faults(content, rules)
        yield from _definition_faults(content.tools, rules)
    elif content.tools:
        yield Fault("tool definitions, which the format cannot carry", "leave the tools out, or the example")


def _turn_faults(turn: Turn, rules: Rules, where: str) -> Iterator[Fault]:
    if turn.role not in rules.roles:
        known = ", ".join(sorted(rules.roles))
        yield Fault(f"role {turn.role!r}, which the format cannot carry", f"use one of {known}", where)
    elif turn.tool_calls and not rules.tools:
        yield Fault("tool calls, which the format cannot carry", "leave the example out", where)
    elif turn.tool_calls and turn.role != "assistant":
        yield Fault("tool calls of another role than the assistant", "leave them out", where)
    elif turn.tool_call_id is not None and turn.role != "tool":
        yield Fault("a message that answers a tool call and is no tool's", "give it the role 'tool'", where)
    elif not (turn.content.strip() or turn.tool_calls or turn.role == "tool"):
        yield Fault("empty content", "write the text, or take the message out", where)
    yield from _reserved_faults(turn.content, rules, where)


def _answer_faults(content: Content, rules: Rules) -> Iterator[Fault]:
    answers = {"answer": content.answer, "rejected answer": content.rejected}
    for name, text in answers.items():
        if text is None:
            continue
        if not text.strip() and not (name == "answer" and content.answer_calls):
            yield Fault(f"empty {name}", "write its text, or take the line out")
        yield from _reserved_faults(text, rules, name)
    if content.answer_calls and not rules.tools:
        yield Fault("tool calls, which the format cannot carry", "leave the example out", "answer")
    if content.answer is not None and content.answer == content.rejected:
        yield Fault("preferred and rejected answer are the same", "take the line out: it teaches nothing")


def _reserved_faults(text: str, rules: Rules, where: str) -> Iterator[Fault]:
    if rules.reserved is not None and (found := rules.reserved.search(text)):
        yield Fault(f"the reserved text {found[0]!r}", "write it otherwise, or take the line out", where)


def _order_faults(content: Content, rules: Rules) -> Iterator[Fault]:
    roles = [turn.role for turn in content.messages]
    if rules.system_first and "system" in roles[1:]:
        where = f"message {roles.index('system', 1) + 1}"
        yield Fault("a system message that is not the first", "keep one, at the start", where)
    talk = [role for role in roles if role != "system"]
    if rules.alternates:
        yield from _alternation_faults(talk)
    elif rules.ends is not None and talk and talk[-1] not in rules.ends:
        yield Fault(
            f"the messages before the answer end with {talk[-1]!r}",
            "end them with " + " or ".join(sorted(rules.ends)),
            f"message {len(roles)}",
        )


def _alternation_faults(talk: Sequence[str]) -> Iterator[Fault]:
    """A tool's result stands for a user's turn; after the last of `talk` comes the answer."""
    if talk and talk[0] != "user":
        yield Fault("a conversation that does not start with the user", "start it with the user's message")
    for before, role in pairwise([*talk, "assistant"]):
        if (before == "assistant") == (role == "assistant"):
            yield Fault(f"{before!r} is followed by {role!r}", "let user and assistant alternate strictly")
            return


def _call_faults(content: Content) -> Iterator[Fault]:
    waiting: dict[str, None] = {}
    made: set[str] = set()
    for place, turn in enumerate(content.messages, start=1):
        where = f"message {place}"
        if turn.role == "tool":
            if turn.tool_call_id not in waiting:
                yield Fault(
                    "a tool's result that answers no call", "give it the id of a call before it", where
                )
            waiting.pop(turn.tool_call_id or "", None)
            continue
        if waiting:
            yield Fault("tool calls without a result", "add one tool message for each call", where)
            waiting = {}
        for call in turn.tool_calls:
            if not call.id or call.id in made:
                yield Fault("a tool call without an id of its own", "give each call another id", where)
            yield from _arguments_faults(call, where)
            made.add(call.id)
            waiting[call.id] = None
    if waiting:
        yield Fault("tool calls without a result", "add one tool message for each call", "before the answer")
    for call in content.answer_calls:
        yield from _arguments_faults(call, "answer")


def _arguments_faults(call: ToolCall, where: str) -> Iterator[Fault]:
    try:
        parse(call.arguments)
    except NotARowError:
        yield Fault("tool arguments that are no JSON object", "write them as JSON text", where)


def _name_faults(content: Content, rules: Rules) -> Iterator[Fault]:
    calls = [call for turn in content.messages for call in turn.tool_calls]
    for call in (*calls, *content.answer_calls):
        if not rules.function_name.fullmatch(call.name):
            yield _name_fault(f"call {call.name!r}")


def _name_fault(where: str) -> Fault:
    return Fault("a tool's name that the format cannot carry", "use up to 64 letters, digits, _ and -", where)


def _definition_faults(tools: Sequence[str], rules: Rules) -> Iterator[Fault]:
    for place, text in enumerate(tools, start=1):
        where = f"tool {place}"
        try:
            tool = parse(text)
        except NotARowError as error:
            yield Fault("a tool definition that is no JSON object", f"correct it: it {error}", where)
            continue
        function = tool.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if tool.get("type") != "function" or not isinstance(name, str):
            remedy = 'write {"type": "function", "function": {"name": ...}}'
            yield Fault("a tool definition without a function's name", remedy, where)
        elif not rules.function_name.fullmatch(name):
            yield _name_fault(where)
