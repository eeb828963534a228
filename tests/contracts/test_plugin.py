"""A provider in a package of its own is found by its entry point, as outsiders would install it."""

import subprocess
import sys
from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "plugin"

USE = """
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


def test_an_installed_plug_in_is_a_provider_like_ours(tmp_path):
    # The metadata that an installation leaves: enough for entry points, and nothing is fetched to build it.
    metadata = tmp_path / "site" / "gateway_tuning_echo-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-tuning-echo\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[gateway_tuning.providers]\necho = gateway_tuning_echo:build\n"
    )
    (metadata.parent / "gateway_tuning_echo.py").write_text((PLUGIN / "gateway_tuning_echo.py").read_text())

    output = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)],
        env={"PYTHONPATH": str(metadata.parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert output.strip() == 'echo,llama succeeded {"messages": []}'
