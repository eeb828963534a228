"""Which code is running: the package's version, and its commit where it runs from a checkout."""

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gateway_tuning import __version__

_GIT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """`commit` is None where the package runs from no checkout of its own; `changed` tells whether files differ from it."""

    package: str
    commit: str | None = None
    changed: bool | None = None

    def __str__(self) -> str:
        if self.commit is None:
            return f"{self.package}, commit not known"
        return f"{self.package}, commit {self.commit[:12]}{', with changes' if self.changed else ''}"


@cache
def code_version() -> CodeVersion:
    return code_version_of(Path(__file__).parents[2])


def code_version_of(root: Path) -> CodeVersion:
    """A repository that only has the package somewhere below it, as in a virtual environment, is not its own."""
    if not (root / ".git").exists():
        return CodeVersion(__version__)
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return CodeVersion(__version__)
    status = _git(root, "status", "--porcelain", "--untracked-files=no")
    return CodeVersion(__version__, commit, None if status is None else bool(status))


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],  # noqa: S607 - whichever git the machine has
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
