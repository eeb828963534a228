"""`gateway-tuning canary replay`: what a policy would have decided on recorded outcomes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway_tuning.cli.console import told
from gateway_tuning.cli.progress import Done, progress
from gateway_tuning.errors import ConfigurationError, InputFileError

if TYPE_CHECKING:
    from gateway_tuning.rollout.comparing import MetricResult
    from gateway_tuning.rollout.policy import CanaryPolicy
    from gateway_tuning.rollout.replay import ReplayedLook

_SECONDS = 60.0


@told
def replay(
    file: Annotated[Path, typer.Argument(help="Recorded outcomes, a JSON object a line, in order of time")],
    *,
    policy: Annotated[
        Path | None, typer.Option(help="A policy as YAML or JSON; the default one if left out")
    ] = None,
    every: Annotated[float, typer.Option(help="Minutes between two looks")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a look, with all figures")] = False,
) -> None:
    """Judge recorded outcomes again and print the decision of every look: to choose a policy, or to check us."""
    import orjson

    from gateway_tuning.rollout.policy import CanaryPolicy
    from gateway_tuning.rollout.reporting import words

    chosen = CanaryPolicy() if policy is None else read_policy(policy)
    share, last = chosen.stages[0], None
    size = file.stat().st_size if file.is_file() else None
    with progress(f"Replaying {file.name}", total=size, prints=True) as done:
        for look in _looks(file, chosen, every * _SECONDS, done):
            if as_json:
                typer.echo(orjson.dumps(_as_json(look, share)).decode())
            else:
                decision = look.decision.kind.replace("_", " ")
                typer.echo(f"{words.at(look.at)}  {words.percent(share):>6}  {decision}")
                for line in _metrics(look):
                    typer.echo(f"    {line}")
            share, last = look.canary.share, look
    if last is not None and not as_json:
        state = "still running" if last.canary.state == "running" else last.canary.state.replace("_", " ")
        typer.echo(f"\n{last.canary.looks} looks; {state}")
        for reason in last.decision.reasons:
            typer.echo(f"- {reason}")


def read_policy(path: Path) -> "CanaryPolicy":
    """A policy by its own names, or a configuration with InitialPercentage and the like.

    Raises:
        ConfigurationError: it cannot be read, or a name or figure of it cannot be right.
    """
    import yaml
    from pydantic import ValidationError

    from gateway_tuning.rollout.policy import CanaryPolicy, policy_from_configuration

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"The policy {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"The policy {path} must be a mapping of names to values")
    if any(str(name)[:1].isupper() for name in content):
        return policy_from_configuration(content).policy
    try:
        return CanaryPolicy.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()
        )
        raise ConfigurationError(f"The policy {path}: {faults}") from error


def _looks(file: Path, policy: "CanaryPolicy", every_s: float, done: Done) -> "Iterator[ReplayedLook]":
    from gateway_tuning.rollout.replay import replay as replayed

    def counted(lines: Iterable[str]) -> Iterator[str]:
        read = 0
        for line in lines:
            read += len(line)
            done(read)
            yield line

    try:
        with file.open(encoding="utf-8") as lines:
            yield from replayed(counted(lines), policy, every_s=every_s)
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{file} cannot be read: {error}") from error
    except InputFileError as error:
        raise InputFileError(f"{file}: {error}") from error


def _metrics(look: "ReplayedLook") -> list[str]:
    from gateway_tuning.rollout.judge import Verdict

    if not isinstance(look.findings, Verdict):
        return [look.findings.reason]
    return [_metric(result) for result in look.findings.results]


def _metric(result: "MetricResult") -> str:
    from gateway_tuning.rollout.reporting import words

    name = f"{words.label(result.name).lower():<21}"
    if result.harm is None:
        return f"{name} no data"
    band = words.between(result.name, result.low, result.high)
    found = words.finding(result.status)[0]
    return f"{name} {words.harm(result.name, result.harm):>14}  {band:<26} {found}"


def _as_json(look: "ReplayedLook", share: float) -> dict[str, Any]:
    from gateway_tuning.rollout.judge import Verdict

    findings = look.findings
    return {
        "at": look.at,
        "share": share,
        "decision": look.decision.kind,
        "reasons": look.decision.reasons,
        "state": look.canary.state,
        "verdict": findings.as_json() if isinstance(findings, Verdict) else {"failure": findings.reason},
    }
