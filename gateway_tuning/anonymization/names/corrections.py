"""What the network calls a person or a place and is surely neither. Pure.

It errs towards keeping a span: a name that is let through is worse than a word that is masked.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from gateway_tuning.anonymization.entities import Span

_NO_NAME = frozenset(
    """
    covid coronavirus virus api url http https json html sql ip iban bic swift ssn pin vat faq pdf cv ceo
    cto email e-mail mail phone fax tel mobile address name login password username account please hello hi
    hey dear thanks thank regards wash clean call click open close press select check labels label tips tip
    note notes guidance guidelines guideline advice step steps section table figure page chapter form forms
    apply contact download print read see visit login sir madam token tokens key secret invoice order python
    java javascript typescript docker kubernetes linux ubuntu windows excel word powerpoint outlook react
    angular django flask redis kafka bash powershell git github gitlab sql mysql postgres postgresql mongodb
    vitamin salesperson january february monday tuesday wednesday thursday friday saturday sunday internet
    wifi wi-fi bluetooth
    """.split()  # noqa: SIM905 - a hundred quotes hide the words
)
_DISEASE = re.compile(
    r"(?i)(?:the )?(?:covid|sars|mers|h[0-9]n[0-9])(?:[-\u2010-\u2015 ]{0,2}(?:cov[- ]?)?[0-9]{0,4})(?: .{0,20}| virus)?"
)
_NUMBERED = re.compile(
    r"(?i)(?:floor|section|chapter|step|page|room|level|version|part|table|figure|vitamin|sha-?[0-9]+)[ -]?[0-9a-f]{1,4}\b.*"
    r"|[A-Z]{1,4}[- ]?[0-9]{3,}.*|.*(?<![0-9a-z])[0-9a-f]{24,}.*"
)
_FIRM = re.compile(
    r".* (?:ltd|inc|incorporated|llc|corp|corporation|gmbh|orchestra|plc)\.?", re.IGNORECASE | re.DOTALL
)
_LONG_LINE = 60  # characters: below, a line ends because its text does
_TRIM = ' \t\n\r>|*_-:;,"\u201c\u201d'


def correct_names(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    for span in spans:
        if span.entity not in {"PERSON", "LOCATION"}:
            yield span
            continue
        end = _end_of_line(text, span) if span.entity == "PERSON" else span.end
        value = text[span.start : end]
        start = span.start + len(value) - len(value.lstrip(_TRIM))
        end -= len(value) - len(value.rstrip(_TRIM))
        if start < end and not _is_no_name(text[start:end]):
            yield replace(span, start=start, end=end)


def _end_of_line(text: str, span: Span) -> int:
    """The end of the line that the name stands on, unless a long line was wrapped within the name."""
    line_end = text.find("\n", span.start, span.end)
    line_start = text.rfind("\n", 0, span.start) + 1
    wrapped = line_end - line_start >= _LONG_LINE and text[line_end + 1 : line_end + 2] != "\n"
    return span.end if line_end < 0 or wrapped or not text[span.start : line_end].strip() else line_end


def _is_no_name(value: str) -> bool:
    return value.lower().strip(".'\u2019") in _NO_NAME or any(
        known.fullmatch(value) for known in (_DISEASE, _NUMBERED, _FIRM)
    )
