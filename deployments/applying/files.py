"""The YAML files of deployments/."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway_tuning.errors import ConfigurationError

FOLDER = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class PoolFile:
    """`kind` is the file's name, as `--pool` takes it. `variables` are properties of the template's schema."""

    kind: str
    name: str
    type: str
    description: str
    concurrency_limit: int | None
    variables: dict[str, dict[str, Any]]
    job_configuration: dict[str, Any]
    job_variables_of_tags: dict[str, dict[str, Any]]
    concurrency_limits: dict[str, int]


@dataclass(frozen=True, slots=True)
class BlockFile:
    """`data` may name settings in braces; `pools` are those whose runs use it."""

    name: str
    type: str
    pools: tuple[str, ...]
    data: dict[str, Any]


def pool_kinds() -> list[str]:
    return sorted(path.stem for path in (FOLDER / "work_pools").glob("*.yaml"))


def read_pool(kind: str) -> PoolFile:
    """Raises ConfigurationError for a pool that has no file."""
    if kind not in pool_kinds():
        raise ConfigurationError(f"There is no work pool {kind!r}; --pool takes {' or '.join(pool_kinds())}")
    found = _read(FOLDER / "work_pools" / f"{kind}.yaml")
    return PoolFile(
        kind=kind,
        name=found["name"],
        type=found["type"],
        description=found.get("description", ""),
        concurrency_limit=found.get("concurrency_limit"),
        variables=found.get("variables", {}),
        job_configuration=found.get("job_configuration", {}),
        job_variables_of_tags=found.get("job_variables_of_tags", {}),
        concurrency_limits=found.get("concurrency_limits", {}),
    )


def read_blocks() -> list[BlockFile]:
    found = [_read(path) for path in sorted((FOLDER / "blocks").glob("*.yaml"))]
    return [BlockFile(one["name"], one["type"], tuple(one["pools"]), one["data"]) for one in found]


def read_automations() -> list[dict[str, Any]]:
    """As Prefect's API takes them, but for `deployment`: the name of the deployment that an action runs."""
    return [_read(path) for path in sorted((FOLDER / "automations").glob("*.yaml"))]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found
