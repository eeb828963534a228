"""A run that failed, told without what it said: the message of an error may quote a user. Pure."""

import builtins
import re

from gateway_tuning import errors
from gateway_tuning.notices.notice import Kind, Notice, Severity, notice_id

_NAMED = re.compile(r"\b([A-Z][A-Za-z]{2,60}(?:Error|Exception|Interrupt|Exit|Timeout))\b")
_PLAIN = re.compile(r"[^A-Za-z0-9 ._-]")


def failed_run(flow_run_id: str, flow: str, state: str, message: str, *, tenant: str) -> Notice:
    """One notice a flow run, whoever tells of it. Of `message` only the name of an error that is known goes on."""
    kind, said = _what(message)
    name = _plain(flow) or "a flow"
    return Notice(
        run_notice_id(flow_run_id),
        tenant,
        kind,
        Severity.ALARM,
        f"{name}: the run {(_plain(state) or 'failed').lower()}",
        f"Run `{_plain(flow_run_id)}` of {name}. {said}\n\nIts log says more: open the run in Prefect's UI.",
        _plain(flow_run_id),
    )


def run_notice_id(flow_run_id: str) -> str:
    return notice_id("flow-run", flow_run_id)


def _what(message: str) -> tuple[Kind, str]:
    """The first line of the documentation of our own error, or the bare name of one of Python's."""
    for name in _NAMED.findall(message):
        known = getattr(errors, name, None)
        if isinstance(known, type) and issubclass(known, errors.GatewayTuningError):
            said = (known.__doc__ or name).splitlines()[0]
            return Kind.COST if issubclass(known, errors.BudgetError) else Kind.FAILURE, f"{name}: {said}"
        if isinstance(getattr(builtins, name, None), type):
            return Kind.FAILURE, f"It ended with {name}."
    return Kind.FAILURE, "It did not say why in words that may be passed on."


def _plain(text: str) -> str:
    return _PLAIN.sub("", text)[:100]
