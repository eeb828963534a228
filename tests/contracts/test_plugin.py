"""A provider and an importer in a package of their own are found by their entry points, as outsiders install them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_tuning.training import catalog

PLUGIN = Path(__file__).parents[1] / "plugin"

USE_PROVIDER = """
import sys
from pathlib import Path
from gateway_tuning.settings import Settings
from gateway_tuning.training import catalog
from gateway_tuning.training.job import TrainingFiles, TuningSpec

home = Path(sys.argv[1])
train = home / "train.jsonl"
train.write_text('{"messages": []}\\n')
provider = catalog.provider("echo", Settings(home=home))
job = provider.submit("k", TuningSpec("echo", "any", "ds"), TrainingFiles(train))
print(",".join(catalog.names()), job.status, provider.collect(job.id).files["echo.jsonl"].read_text().strip())
"""

USE_IMPORTER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from gateway_tuning.feedback.importer import import_file
from gateway_tuning.feedback.importers import catalog
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.storage.database import open_database

home = Path(sys.argv[1])
store = FeedbackStore(open_database(f"sqlite:///{home / 'store.db'}"))
now = datetime(2026, 11, 1, tzinfo=UTC)
report = import_file(
    home / "votes.jsonl", None, store, tenant="default", now=now, source="votes", expectations=False
)
print(",".join(catalog.names()), report.imported, report.quarantined_by_reason)
"""


@pytest.fixture
def use(tmp_path):
    # The metadata that an installation leaves: enough for entry points, and nothing is fetched to build it.
    metadata = tmp_path / "site" / "gateway_tuning_echo-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-tuning-echo\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[gateway_tuning.providers]\necho = gateway_tuning_echo:build\n"
        "[gateway_tuning.importers]\nvotes = gateway_tuning_votes:rows\n"
    )
    for module in PLUGIN.glob("*.py"):
        shutil.copy(module, metadata.parent)

    def run(program):
        return subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env={"PYTHONPATH": str(metadata.parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    return run


def test_an_installed_plug_in_is_a_provider_like_ours(use):
    names = ",".join(sorted(["echo", *catalog.names()]))
    assert use(USE_PROVIDER) == f'{names} succeeded {{"messages": []}}'


def test_an_installed_plug_in_is_an_importer_like_ours(use, tmp_path):
    vote = {"prompt": "Why?", "response": "Because.", "timestamp": "2026-10-01T08:00:00Z"}
    rows = [{**vote, "vote": "up"}, {**vote, "vote": "down"}, {**vote, "vote": "sideways"}]
    (tmp_path / "votes.jsonl").write_text("\n".join(map(json.dumps, rows)))

    assert use(USE_IMPORTER) == (
        "langfuse,litellm,openai,tensorzero,votes 2 {'Vote is neither up nor down': 1}"
    )
