"""The look that all reports share, and the templates of the evaluation's pages."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def report_css() -> Markup:
    """The style sheet of all reports, to stand inside a `<style>` element."""
    return _sheet("report.css")


@cache
def evaluation_css() -> Markup:
    """The reports' style, and what the evaluation's own pages need."""
    return report_css() + _sheet("evaluation.css")


@cache
def content_policy() -> str:
    """What a page with `evaluation_css()` may do: show itself. No script, no request, no other style."""
    digest = hashlib.sha256(str(evaluation_css()).encode()).digest()
    allowed = f"'sha256-{base64.b64encode(digest).decode()}'"
    return f"default-src 'none'; style-src {allowed}; base-uri 'none'; form-action 'none'"


@cache
def environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _sheet(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - a file of ours
