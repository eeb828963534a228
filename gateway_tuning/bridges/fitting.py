"""What another proxy can do of a routing table. Pure: what it serves is an argument.

A split whose versions it cannot tell apart is none: its candidate stays silent, and the look that misses it rolls it
back. So a split that does nothing never promotes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gateway_tuning.gateway.routing import RoutingTable

Targets = Callable[[str], frozenset[str]]
"""What answers under a name of the proxy, in a form in which equal means the same; empty where it has no such name."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """`table` has the endpoints alone that the proxy serves; `deployments` are its names for them, by version."""

    table: RoutingTable = field(default_factory=RoutingTable)
    deployments: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def fit(table: RoutingTable, named: Mapping[str, str], targets: Targets) -> Fitted:
    """`named` has the proxy's names of versions for whom it is not the endpoint's own name of the model."""
    candidates = {split.candidate for split in table.splits.values()}
    in_use = {version for version in table.stable.values() if version} | candidates
    deployments = {
        version: named.get(version, table.endpoints[version].model)
        for version in sorted(in_use)
        if version in table.endpoints
    }
    answering = {version: targets(name) for version, name in deployments.items()}
    faults = [
        f"the proxy has no model {deployments[version]!r} for version {version}: add it to its model list"
        for version, found in answering.items()
        if not found
    ]
    left_out = {version for version, found in answering.items() if not found}
    for model, split in sorted(table.splits.items()):
        control = table.stable[model]
        shared = answering.get(control, frozenset()) & answering.get(split.candidate, frozenset())
        if shared:
            faults.append(
                f"the split of {model} does nothing: the proxy answers {deployments[control]!r} and "
                f"{deployments[split.candidate]!r} by the same {', '.join(sorted(shared))}"
            )
            left_out.add(split.candidate)
    served = {version: table.endpoints[version] for version in deployments if version not in left_out}
    return Fitted(replace(table, endpoints=served), deployments, tuple(faults))
