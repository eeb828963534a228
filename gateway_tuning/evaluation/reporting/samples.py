"""Samples side by side, with the words in which candidate and stable answer differ. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from gateway_tuning.evaluation.reporting.differences import Piece, marked
from gateway_tuning.evaluation.reporting.figures import digits_of, figure
from gateway_tuning.evaluation.result import Sample
from gateway_tuning.evaluation.scored import Role
from gateway_tuning.evaluation.scoring.protocol import ScorerCard

_LONG = 1_200  # characters above which a text scrolls and must be reached by the keyboard
_LINES = 14


@dataclass(frozen=True, slots=True)
class Panel:
    """`body` is the text with its differences marked, or why there is none."""

    title: str
    body: Markup
    failed: bool
    scrolls: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleView:
    """`change` tells the primary metric, stable to candidate. `scores`: metric, then a figure a role of `roles`.

    `gaps` say why a figure is unknown.
    """

    prompt: str
    change: str
    panels: tuple[Panel, ...]
    remark: str | None
    roles: tuple[str, ...]
    scores: tuple[tuple[str, tuple[str, ...]], ...]
    gaps: tuple[str, ...]


def sample_views(
    samples: Sequence[Sample], cards: Mapping[str, ScorerCard], primary: str
) -> list[SampleView]:
    return [_view(sample, cards, primary) for sample in samples]


def _view(sample: Sample, cards: Mapping[str, ScorerCard], primary: str) -> SampleView:
    stable, candidate = (sample.answers.get(role) for role in (Role.STABLE, Role.CANDIDATE))
    panels = [_plain("Prompt", sample.prompt), _plain("Preferred answer", sample.preferred)]
    remark = None
    if stable is not None and candidate is not None:
        found = marked(stable, candidate)
        remark = found.note
        bodies = {
            Role.STABLE: _markup(found.before, "del", "removed"),
            Role.CANDIDATE: _markup(found.after, "ins", "added"),
        }
    else:
        bodies = {}
    roles = [role for role in (Role.STABLE, Role.CANDIDATE, Role.BASE) if role in sample.answers]
    panels += [_answer(sample, role, bodies.get(role), cards) for role in roles]
    metrics = [name for name in cards if any(name in sample.scores.get(role, {}) for role in roles)]
    metrics.sort(key=lambda name: name != primary)
    scores = tuple(
        (cards[name].label, tuple(_score(sample, role, name, cards) for role in roles)) for name in metrics
    )
    change = " → ".join(_score(sample, role, primary, cards) for role in (Role.STABLE, Role.CANDIDATE))
    return SampleView(
        sample.prompt,
        change,
        tuple(panels),
        remark,
        tuple(role.value for role in roles),
        scores,
        tuple(dict.fromkeys(note for role in roles for note in _notes(sample, role, cards, known=False))),
    )


def _answer(sample: Sample, role: Role, body: Markup | None, cards: Mapping[str, ScorerCard]) -> Panel:
    text = sample.answers[role]
    title = f"{role.value.capitalize()} answer"
    notes = tuple(_notes(sample, role, cards, known=True))
    if text is None:
        error = sample.errors.get(role) or "no reason is known"
        return Panel(title, escape(f"No answer: {error}"), True, _scrolls(error), notes)
    return Panel(title, body if body is not None else escape(text), False, _scrolls(text), notes)


def _notes(sample: Sample, role: Role, cards: Mapping[str, ScorerCard], *, known: bool) -> Iterator[str]:
    """Evidence where the score is known, and why it is not where it is not."""
    scores = sample.scores.get(role, {})
    for name, said in sample.notes.get(role, {}).items():
        if said and (scores.get(name) is not None) == known:
            yield f"{cards[name].label if name in cards else name}: {'; '.join(said)}"


def _score(sample: Sample, role: Role, metric: str, cards: Mapping[str, ScorerCard]) -> str:
    value = sample.scores.get(role, {}).get(metric)
    return figure(value, digits_of(cards[metric], value) if metric in cards else 3)


def _plain(title: str, text: str) -> Panel:
    return Panel(title, escape(text), False, _scrolls(text), ())


def _scrolls(text: str) -> bool:
    return len(text) > _LONG or text.count("\n") > _LINES


def _markup(pieces: Sequence[Piece], tag: str, said: str) -> Markup:
    """Marked pieces are told to those who hear the page, too; white space at their end stays unmarked."""
    parts = []
    for piece in pieces:
        text = piece.text.rstrip()
        if not piece.changed or not text:
            parts.append(escape(piece.text))
            continue
        opening = Markup(f'<{tag}><span class="told">[{said}: </span>')  # noqa: S704 - words of ours
        closing = Markup(f'<span class="told">]</span></{tag}>')  # noqa: S704 - as above
        parts.append(opening + escape(text) + closing + escape(piece.text[len(text) :]))
    return Markup().join(parts)
