"""Datasets: what is in each, what was left out, and where it came from and went to."""

from fastapi import Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from gateway_tuning.access.permissions import Permission
from gateway_tuning.api import resources
from gateway_tuning.api.dashboard import links
from gateway_tuning.api.dashboard.lists import Few, first_page
from gateway_tuning.api.dashboard.page import render
from gateway_tuning.api.dashboard.routes import page_router
from gateway_tuning.api.problems import ProblemError
from gateway_tuning.api.security import Caller, allow
from gateway_tuning.api.services import CallServices, Services
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.datasets.card import card
from gateway_tuning.datasets.describing.charts import bars
from gateway_tuning.datasets.describing.page import leakage_told, render_html
from gateway_tuning.datasets.describing.settings import flat, shown
from gateway_tuning.datasets.lineage import State, of_dataset
from gateway_tuning.datasets.manifest import Counts, Manifest
from gateway_tuning.datasets.published import read_manifest, read_parts
from gateway_tuning.datasets.splits import SPLITS
from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.feedback.language import LanguageDetector

_MOST_ON_A_CARD = 50_000  # examples: a card reads every one of them while somebody waits
# The card has its style in it and no script.
_CARD = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_detector = LanguageDetector()

router = page_router()


@router.get("/datasets", dependencies=[allow(Permission.VIEW)])
def list_datasets(request: Request, caller: Caller, services: CallServices, few: Few) -> Response:
    page = resources.list_datasets(request, caller, services, few)
    return render(
        request,
        "datasets.html.j2",
        datasets=page.items,
        examples=examples,
        splits=SPLITS,
        next=page.next,
        first=first_page(request),
        links=links,
    )


@router.get("/datasets/{dataset_id}", dependencies=[allow(Permission.VIEW)])
def show_dataset(request: Request, caller: Caller, services: CallServices, dataset_id: str) -> Response:
    lineage = of_dataset(services.engine, dataset_id, tenant=caller.tenant)
    manifest = _manifest(services, dataset_id) if lineage.state is State.LIVING else None
    counts = None if manifest is None else manifest.counts
    return render(
        request,
        "dataset.html.j2",
        dataset_id=dataset_id,
        lineage=lineage,
        manifest=manifest,
        by_split={} if counts is None else {split: examples(counts, split) for split in SPLITS},
        charts=[] if counts is None else _charts(counts),
        leakage=[] if manifest is None else leakage_told(manifest.leakage, manifest.counts.shared_groups),
        recipe=[] if manifest is None else _recipe(manifest),
        has_card=counts is not None and _size(counts) <= _MOST_ON_A_CARD,
        cycles=CycleStore(services.engine).that_made(caller.tenant, dataset_id),
        links=links,
    )


@router.get("/datasets/{dataset_id}/card", dependencies=[allow(Permission.VIEW)])
def show_card(caller: Caller, services: CallServices, dataset_id: str) -> Response:
    lineage = of_dataset(services.engine, dataset_id, tenant=caller.tenant)
    if lineage.state is not State.LIVING:
        raise ProblemError(404, f"Dataset {dataset_id} is {lineage.state}: nothing is left to make a card of")
    manifest = read_manifest(services.objects, dataset_id)
    if _size(manifest.counts) > _MOST_ON_A_CARD:
        told = f"gateway-tuning datasets card {dataset_id} --html card.html"
        raise ProblemError(
            409, f"Dataset {dataset_id} is too large for a card while you wait; make it: {told}"
        )
    made = card(
        manifest,
        (part for split in SPLITS for part in read_parts(services.objects, manifest, split)),
        language_of=_detector.language_of,
        lineage=lineage,
    )
    return HTMLResponse(render_html(made), headers={"content-security-policy": _CARD})


def examples(counts: Counts, split: str) -> int:
    return sum(counts.examples.get(split, {}).values())


def _size(counts: Counts) -> int:
    return sum(examples(counts, split) for split in SPLITS)


def _manifest(services: Services, dataset_id: str) -> Manifest | None:
    try:
        return read_manifest(services.objects, dataset_id)
    except (GatewayTuningError, OSError):  # the page says so; the catalogue still knows the dataset
        return None


def _charts(counts: Counts) -> list[tuple[str, Markup]]:
    by_kind = [
        (f"{split}, {kind.replace('_', ' ')}", count)
        for split in SPLITS
        for kind, count in counts.examples.get(split, {}).items()
        if count
    ]
    named = [
        ("Examples by split and kind", by_kind),
        ("Records left out", _most_first(counts.left_out)),
        ("Examples rejected", _most_first(counts.rejected)),
        ("Personal data replaced", _most_first(counts.entities)),
    ]
    return [(title, bars(title, rows)) for title, rows in named if rows]


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(
        ((name.replace("_", " "), count) for name, count in counts.items()), key=lambda row: -row[1]
    )


def _recipe(manifest: Manifest) -> list[tuple[str, object]]:
    return [(name, shown(name, value)) for name, value in flat(manifest.recipe.model_dump(mode="json"))]
