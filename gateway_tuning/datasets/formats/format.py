"""A training file's format as data: what it takes, how a line is written, read and checked. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway_tuning.datasets.example import Example, ExampleKind
from gateway_tuning.datasets.formats.content import Content, Fault, Rules, content_of, faults
from gateway_tuning.datasets.formats.jsonl import (
    BYTES_A_TOKEN,
    NotARowError,
    Row,
    dump,
    estimated_tokens,
    is_utf8,
    parse,
)
from gateway_tuning.errors import InputFileError

TRAIN = "train"
TEACHES = {
    ExampleKind.DEMONSTRATION: "demonstrations",
    ExampleKind.PREFERENCE: "preferences",
    ExampleKind.LABELLED: "labelled answers",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` counts from 1; None: the file as a whole."""

    line: int | None
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """An example that the format cannot carry unbent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one file. None: the provider names no limit."""

    min_lines: int = 1
    max_lines: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class NameRule:
    """What the provider takes as the name of a job, or as the suffix of the model's."""

    max_length: int
    pattern: re.Pattern[str] = re.compile(r"[^\x00-\x1f\x7f]+")
    told: str = "any text without control characters"


@dataclass(frozen=True, slots=True)
class Format:
    """One line, one example.

    `row` is called with content that breaks no rule, `read` with rows whose `shape` has no fault. `source` says where
    the format is documented. `max_tokens` limits a line. `validation` limits a file that is not trained on. `suffix`
    is how the provider wants the file's name to end; None: as you like.
    """

    name: str
    kind: ExampleKind
    description: str
    source: str
    rules: Rules
    row: Callable[[Content], Row]
    read: Callable[[Row], Content]
    shape: Callable[[Row], Iterator[Fault]]
    train: Limits = Limits()
    validation: Limits = Limits()
    max_tokens: int | None = None
    job_name: NameRule | None = None
    suffix: str | None = None

    def write(self, example: Example) -> str | Skipped:
        """The line of an example, or why there is none."""
        if example.kind is not self.kind:
            return Skipped(f"{example.kind}: {self.name} takes {TEACHES[self.kind]}")
        content = content_of(example)
        fault = next(_unfit(content), None) or next(faults(content, self.rules), None)
        if fault is not None:
            return Skipped(fault.reason)
        line = dump(self.row(content))
        if (long := self._length_fault(line)) is not None:
            return Skipped(long.reason)
        return line if is_utf8(line) else Skipped("half a character (a lone surrogate) in a text")

    def lines(self, examples: Iterable[Example]) -> Iterator[str]:
        """Of the examples that the format can carry; `skipped` counts the others."""
        for example in examples:
            if isinstance(line := self.write(example), str):
                yield line

    def skipped(self, examples: Iterable[Example]) -> Counter[str]:
        written = (self.write(example) for example in examples)
        return Counter(outcome.reason for outcome in written if isinstance(outcome, Skipped))

    def validate(self, lines: Iterable[bytes | str], *, split: str = TRAIN) -> list[Problem]:
        """What the provider would refuse, in a file of ours or of anybody.

        Args:
            lines: with or without their ends, as they stand in the file.
            split: `train`, or any other name for a file that is not trained on.
        """
        problems: list[Problem] = []
        count = size = 0
        for number, line in enumerate(lines, start=1):
            count, size = number, size + _bytes_of(line)
            problems += [Problem(number, _told(fault), fault.remedy) for fault in self.line_faults(line)]
        return problems + self.file_problems(count, size, split=split)

    def file_problems(self, lines: int, size: int, *, split: str = TRAIN) -> list[Problem]:
        """Of a file by its number of lines and its bytes, against the provider's limits."""
        limits, problems = self.train if split == TRAIN else self.validation, list[Problem]()
        if lines < limits.min_lines:
            told = f"{lines} lines, at least {limits.min_lines} are needed"
            problems.append(Problem(None, told, "add examples"))
        if limits.max_lines is not None and lines > limits.max_lines:
            told = f"{lines:,} lines, at most {limits.max_lines:,} are taken"
            problems.append(Problem(None, told, "take a sample"))
        if limits.max_bytes is not None and size > limits.max_bytes:
            told = f"{size:,} bytes, at most {limits.max_bytes:,} are taken"
            problems.append(Problem(None, told, "take a sample"))
        return problems

    def line_faults(self, line: bytes | str) -> list[Fault]:
        try:
            row = parse(line)
        except NotARowError as error:
            return [Fault(f"line {error}", "write one JSON object in UTF-8 a line, or take the line out")]
        found = list(self.shape(row)) or list(faults(self.read(row), self.rules))
        long = self._length_fault(dump(row))
        return found if long is None else [*found, long]

    def read_line(self, line: bytes | str) -> Content:
        """Raises InputFileError: the line is not of this format."""
        if found := self.line_faults(line):
            raise InputFileError(f"Not a line of {self.name}: {_told(found[0])}; {found[0].remedy}")
        return self.read(parse(line))

    def name_problems(self, name: str) -> list[Problem]:
        """What is wrong with a job's name, or the suffix of the model's, at the provider of this format."""
        rule, problems = self.job_name, list[Problem]()
        if rule is None:
            return problems
        if len(name) > rule.max_length:
            problems.append(
                Problem(None, f"name of {len(name)} characters", f"shorten it to {rule.max_length}")
            )
        if not rule.pattern.fullmatch(name):
            problems.append(Problem(None, f"name {name!r}", f"use {rule.told}"))
        return problems

    def file_name_problems(self, name: str) -> list[Problem]:
        if self.suffix is None or name.endswith(self.suffix):
            return []
        return [Problem(None, f"file name {name!r}", f"end the name with {self.suffix}")]

    def _length_fault(self, line: str) -> Fault | None:
        if self.max_tokens is None or (tokens := estimated_tokens(line)) <= self.max_tokens:
            return None
        return Fault(
            f"longer than {self.max_tokens:,} tokens by estimate",
            f"shorten it; counted as 1 token for {BYTES_A_TOKEN} bytes, which is rarely too few",
            f"about {tokens:,} tokens",
        )


def _unfit(content: Content) -> Iterator[Fault]:
    """What no example of ours should be, whatever the format."""
    if not content.messages or content.messages[-1].role not in ("user", "tool"):
        yield Fault("a prompt that does not end with the user or a tool's result", "")
    if content.kind is ExampleKind.PREFERENCE and content.rejected is None:
        yield Fault("no rejected answer", "")
    if content.kind is ExampleKind.LABELLED and content.desirable is None:
        yield Fault("no label", "")


def _told(fault: Fault) -> str:
    return f"{fault.where}: {fault.reason}" if fault.where else fault.reason


def _bytes_of(line: bytes | str) -> int:
    """With the end of the line, whether it is there or not."""
    raw = line if isinstance(line, bytes) else line.encode(errors="replace")
    return len(raw) + (not raw.endswith(b"\n"))
