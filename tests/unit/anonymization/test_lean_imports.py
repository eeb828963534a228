"""What a process that anonymizes loads, seen in a process of its own."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")

CODE = """
import sys
from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.settings import Settings
(found,) = Anonymizer(Settings().spacy_model).anonymize([{"prompt": "Clara Oswald has the card 4111 1111 1111 1111"}])
assert dict(found.entities) == {"PERSON": 1, "CREDIT_CARD": 1}, found
print(*(name for name in ("torch", "transformers") if name in sys.modules))
import torch
assert torch.ones(1).item() == 1
"""


def loaded(**environment):
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_process_that_anonymizes_loads_no_deep_learning_package_and_may_do_so_later():
    assert loaded() == []


def test_where_a_pipeline_may_need_torch_spacy_gets_it(tmp_path):
    (tmp_path / "spacy_transformers.py").write_text("")

    assert loaded(PYTHONPATH=str(tmp_path)) == ["torch"]
