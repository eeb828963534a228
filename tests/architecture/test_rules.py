"""The rules of docs/architecture.md that no linter keeps."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gateway_tuning"
MODULES = sorted(
    path
    for room in ("gateway_tuning", "flows", "tasks", "deployments")
    for path in (ROOT / room).rglob("*.py")
)
MODULES = [path for path in MODULES if "migrations" not in path.parts]

QUALITY = (
    "shingles",
    "signatures",
    "near_duplicates",
    "deduplicate",
    "sample",
    "policy",
    "markers",
    "filters",
    "contamination",
    "balance",
)
SEARCH = ("space", "plan", "trial", "halving", "budget", "settling", "outcome", "report")
PURE = [
    *(
        f"anonymization/{name}.py"
        for name in (
            *("entities", "masking", "policy", "vault_entry", "names/corrections"),
            *("mentions/people", "mentions/values", "mentions/common_words"),
            *("pseudonyms/keyed", "pseudonyms/forms", "pseudonyms/dates", "pseudonyms/placeholders"),
            *("patterns/pattern", "patterns/word_filter", "patterns/people", "patterns/given_names"),
            *("patterns/addresses", "patterns/identifiers", "patterns/ibans", "patterns/check_digits"),
            "patterns/credentials",
        )
    ),
    "access/permissions.py",
    "notices/failures.py",
    "notices/notice.py",
    "observability/operators.py",
    "observability/spans.py",
    "bridges/fitting.py",
    "bridges/litellm_events.py",
    "doctor/settings.py",
    "feedback/acceptance.py",
    "feedback/rating_token.py",
    "feedback/subjects.py",
    "feedback/submission.py",
    "feedback/validation.py",
    "feedback/versions.py",
    "feedback/trust.py",
    "feedback/bursts.py",
    "feedback/phrases.py",
    "feedback/votes.py",
    "datasets/selection.py",
    "datasets/splits.py",
    *(f"datasets/formats/{path.name}" for path in sorted((PACKAGE / "datasets" / "formats").glob("*.py"))),
    *(f"datasets/quality/{name}.py" for name in QUALITY),
    *(f"datasets/describing/{name}.py" for name in ("lengths", "topics", "charts", "settings")),
    *(
        f"datasets/augmentation/{name}.py"
        for name in (
            *("protocol", "protected", "draws", "keyboards", "edits", "noise", "policy", "reply", "held_out"),
            "sharing",
        )
    ),
    "datasets/inspection/suites.py",
    "expectations/expectation.py",
    "datasets/draft.py",
    "datasets/record_texts.py",
    "datasets/reformulations.py",
    "datasets/statements.py",
    "datasets/building/plan.py",
    "datasets/building/codec.py",
    "datasets/building/counting.py",
    "erasure/mentions.py",
    *(
        f"training/cost/{name}.py"
        for name in ("prices", "tokens", "passes", "estimate", "limits", "entry", "actual")
    ),
    "training/lifecycle/table.py",
    *(
        f"evaluation/reporting/{name}.py"
        for name in (
            *("figures", "differences", "forest", "distributions", "findings", "tables", "samples"),
            "markdown",
        )
    ),
    *(f"evaluation/judging/{name}.py" for name in ("verdict", "measures", "trust", "pairs", "preferences")),
    *(f"evaluation/judging/asking/{name}.py" for name in ("prompt", "reply", "persisting")),
    *(
        f"evaluation/scoring/{name}.py"
        for name in (
            *(
                "protocol",
                "measure",
                "words/similarity",
                "words/sequences",
                "meaning/sentences",
                "meaning/grams",
            ),
            *("form/parsing", "form/asking", "form/validity", "form/refusal", "form/keywords", "form/schema"),
            *("form/shapes", "meaning/scorers", "meaning/transformer"),
        )
    ),
    *(
        f"evaluation/statistics/{name}.py"
        for name in ("difference", "clusters", "bootstrap", "permutation", "multiplicity", "power")
    ),
    *(f"evaluation/{name}.py" for name in ("comparing", "measures", "summary", "earlier")),
    *(
        f"drift/{name}.py"
        for name in (
            *("statistics", "history", "live/findings", "columns", "spending", "window", "result", "quality"),
            *("check", "texts/words", "texts/ngrams", "texts/weights", "texts/descriptors", "texts/sample"),
            *("texts/telling", "texts/classifier"),
        )
    ),
    *(f"rollout/{name}.py" for name in ("gate", "findings", "evidence")),
    "rollout/canary.py",
    "rollout/configuration.py",
    "rollout/looking.py",
    "rollout/judge.py",
    "rollout/sequential.py",
    "rollout/assignment.py",
    *(f"rollout/reporting/{name}.py" for name in ("words", "steps", "charts", "markdown")),
    *(f"rollout/shadows/{name}.py" for name in ("shadow", "report", "telling")),
    *(f"gateway/{name}.py" for name in ("door/limits", "door/upstreams", "scoring/texts")),
    "cycles/summary.py",
    *(
        f"registry/{name}.py"
        for name in ("statuses", "aliases", "rules", "curves", "card_sections", "mirror")
    ),
    "registry/mlflow/tags.py",
    "datasets/describing/markdown.py",
    *(f"training/watching/{name}.py" for name in ("limits", "pace")),
    *(f"training/search/{name}.py" for name in SEARCH),
]
IMPURE_MODULES = {
    "os",
    "io",
    "time",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "pathlib",
    "tempfile",
    "logging",
    "fsspec",
    "requests",
    "httpx",
    "aiohttp",
}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_is_longer_than_400_lines(path):
    assert lines_of(path) <= 400


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=relative)
def test_no_test_module_is_longer_than_600_lines(path):
    assert lines_of(path) <= 600


@pytest.mark.parametrize("path", sorted((ROOT / "flows").glob("[!_]*.py")), ids=relative)
def test_a_flow_file_is_short_named_verb_noun_and_has_no_classes(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert lines_of(path) <= 120
    assert re.fullmatch(r"[a-z]+_[a-z]+", path.stem)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_is_a_junk_drawer(path):
    assert path.stem not in {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_has_no_clock_randomness_files_or_environment(name):
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {
        (node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}

    assert imported & IMPURE_MODULES == set()
    assert {call for call in calls if call == "open" or call.endswith((".now", ".utcnow", ".today"))} == set()


@pytest.mark.parametrize("path", [path for path in MODULES if PACKAGE in path.parents], ids=relative)
def test_settings_are_built_at_the_composition_roots_alone(path):
    builds = re.search(r"\bSettings\(\)", path.read_text(encoding="utf-8"))

    roots = (PACKAGE / "cli" / "console.py", PACKAGE / "bridges" / "litellm.py")
    assert not builds or path in roots


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name != "layout.py" and PACKAGE in path.parents], ids=relative
)
def test_object_keys_are_written_in_the_layout_alone(path):
    assert not re.search(r'f"(datasets|models|evaluations|drift)/\{', path.read_text(encoding="utf-8"))


def imports_of(*arguments: str) -> set[str]:
    code = f"import sys; sys.argv = ['gateway-tuning', *{list(arguments)!r}]\n" + (
        "import gateway_tuning.cli as c\ntry:\n    c.app()\nexcept SystemExit:\n    pass\n"
        if arguments
        else "import gateway_tuning\n"
    )
    code += "print('\\nMODULES', *sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    return {name.split(".")[0] for name in output.split("MODULES")[1].split()}


HEAVY = {
    "optuna",
    "prefect",
    "torch",
    "spacy",
    "presidio_analyzer",
    "evidently",
    "great_expectations",
    "transformers",
    "pandas",
    "pyarrow",
    "sqlalchemy",
}


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_importing_the_package_and_asking_for_help_load_nothing_heavy(arguments):
    assert imports_of(*arguments) & HEAVY == set()


def tracked_files() -> list[Path]:
    output = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return [ROOT / name for name in output.splitlines() if (ROOT / name).is_file()]


def test_no_tracked_file_names_a_machine_path_or_a_registry():
    pattern = re.compile(
        r"/(?:work|farm|root)/[a-z]|https?://[^ \"]*/simple/|files\.pythonhosted|download\.pytorch"
    )
    mine = Path(__file__)
    found = [
        relative(path)
        for path in tracked_files()
        if path != mine
        and path.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ""}
        and pattern.search(path.read_text(encoding="utf-8"))
    ]

    assert found == []
