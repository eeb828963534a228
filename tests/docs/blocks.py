"""Blocks of the documentation that say that they run: `<!-- run -->` stands in the line before the fence.

`<!-- run: slow -->` is for what takes long, `<!-- run: serve -->` for servers that stay while the rest of the page runs.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"(?:^<!-- run(?P<mark>|: slow|: serve) -->\n)?^```(?P<language>[a-z]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SHELL = {"", "sh", "bash"}


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    code: str
    mark: str | None  # "" runs; None does not

    @property
    def is_shell(self) -> bool:
        return self.language in _SHELL

    @property
    def is_slow(self) -> bool:
        return self.mark in {": slow", ": serve"}


def pages() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [ROOT / name for name in sorted(output.splitlines()) if (ROOT / name).is_file()]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(found["language"], found["code"], found["mark"]) for found in _FENCE.finditer(text)]


def running(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.mark is not None]
