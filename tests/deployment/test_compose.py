"""docker/compose.yaml, as far as it can be held against what it names without an engine."""

import json
import re
import runpy

import pytest
import yaml
from compose_spec import PyCompose

from gateway_tuning import __version__
from gateway_tuning.gateway.door.upstreams import Upstreams
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.settings import Settings
from tests.architecture.test_docs import ROOT, fault, variables

FOLDER = ROOT / "docker"
FILES = ("compose.yaml", "compose.gpu.yaml")
OURS = {variable for field in Settings.model_fields for variable in variables(field)}
THEIRS = {
    "postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"},
    "objects": {"ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY", "VGW_HEALTH"},
}


def read(name="compose.yaml"):
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


SERVICES = read()["services"]
BUILT = {
    name: service for name, service in SERVICES.items() if service["image"].startswith("llm-gateway-tuning-")
}
ONCE = {name for name, service in SERVICES.items() if service["restart"] == "no"}


def interpolated(text, values):
    """As Compose does with the two forms that are used here: `:-` and `:?`."""

    def value(match):
        name, kind, rest = match.groups()
        found = values.get(name, "")
        assert found or kind == "-", f"{name} is required and empty"
        return found or rest

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, text)


def secrets_of_the_example():
    text = runpy.run_path(str(FOLDER / "make_env.py"))["filled"](
        (FOLDER / ".env.example").read_text(encoding="utf-8")
    )
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def secrets():
    return secrets_of_the_example()


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_the_specification_allows(name):
    PyCompose.from_json(json.dumps(read(name))).validate()


def test_a_word_that_the_specification_does_not_know_is_noticed():
    wrong = read()
    wrong["services"]["api"]["healthcheck"]["intrval"] = "3s"

    with pytest.raises(ValueError, match="intrval"):
        PyCompose.from_json(json.dumps(wrong))


def test_what_stays_is_watched_and_what_ends_is_waited_for():
    watched = {name for name, service in SERVICES.items() if "test" in service.get("healthcheck", {})}
    waits = {
        (name, other): how["condition"]
        for name, service in SERVICES.items()
        for other, how in service.get("depends_on", {}).items()
    }

    assert watched == SERVICES.keys() - ONCE
    assert {"upgrade", "bucket", "deployments"} == ONCE
    for (name, other), condition in waits.items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert condition == wanted, f"{name} waits for {other}"
    assert {other for _, other in waits} >= ONCE


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_version_and_ours_have_that_of_the_project(name):
    _, _, tag = SERVICES[name]["image"].partition(":")

    assert re.search(r"\d+\.\d+", tag)
    assert name not in BUILT or tag == __version__


@pytest.mark.parametrize("name", BUILT)
def test_our_containers_have_no_rights_that_they_do_not_need(name):
    service = BUILT[name]

    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - of the container
    assert not service.get("privileged")
    assert {volume.partition(":")[2] for volume in service.get("volumes", [])} <= {"/srv/var"}


def test_only_this_machine_reaches_what_is_published():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert sorted(port.rpartition(":")[2] for port in published) == ["4200", "8000", "8080"]
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_one_that_somebody_reads(name):
    from prefect.settings import Settings as PrefectSettings
    from prefect.settings.legacy import _get_valid_setting_names

    known = OURS | THEIRS.get(name, set())
    prefect = {setting.lower() for setting in _get_valid_setting_names(PrefectSettings)}
    asked = set(SERVICES[name]["environment"])

    assert {one for one in asked - known if one.lower() not in prefect} == set()


def test_no_secret_stands_in_the_file():
    secret = {
        variable
        for field, info in Settings.model_fields.items()
        if "SecretStr" in str(info.annotation)
        for variable in variables(field)
    } | {"ROOT_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD", "PREFECT_SERVER_API_AUTH_STRING"}
    given = [
        (name, variable, value)
        for name, service in SERVICES.items()
        for variable, value in service["environment"].items()
        if variable in secret
    ]

    assert len(given) > 15
    assert [one for one in given if not re.fullmatch(r"\$\{\w+:[?-][^}]*\}", one[2])] == []
    addresses = [
        value for service in SERVICES.values() for value in service["environment"].values() if "@" in value
    ]
    assert addresses
    assert [value for value in addresses if not re.search(r"://\w+:\$\{\w+:\?[^}]*\}@", value)] == []


def test_the_example_names_what_the_file_asks_for_and_nothing_else(secrets):
    asked = set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text(encoding="utf-8")))
    required = set(re.findall(r"\$\{(\w+):\?", (FOLDER / "compose.yaml").read_text(encoding="utf-8")))
    example = (FOLDER / ".env.example").read_text(encoding="utf-8")

    assert secrets.keys() == asked
    assert re.findall(r"^\w+=(.+)$", example, re.MULTILINE) == []
    assert {name for name, value in secrets.items() if value} == required
    assert len({secrets[name] for name in required}) == len(required)


@pytest.mark.parametrize("name", BUILT)
def test_the_settings_of_a_container_are_read_without_complaint(name, secrets, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for variable, value in BUILT[name]["environment"].items():
        monkeypatch.setenv(variable, interpolated(value, secrets))

    settings = Settings()

    for key in (settings.rating_token_key, settings.dashboard_session_key):
        assert key is None or len(key.get_secret_value()) >= 32
    assert settings.vault_key is None or len(bytes.fromhex(settings.vault_key.get_secret_value())) == 32
    if settings.database_url:
        assert "?" not in settings.database_url
        assert "see docker" not in settings.database_url


def test_the_gateway_may_ask_the_local_model_where_the_worker_says_it_answers(secrets):
    gateway, worker = SERVICES["gateway"]["environment"], SERVICES["worker"]["environment"]
    upstreams = Upstreams.parse(gateway["GATEWAY_TUNING_GATEWAY_UPSTREAMS"])

    assert upstreams.refusal(Endpoint(worker["OPENAI_BASE_URL"], "any", api_key_env="OPENAI_API_KEY")) is None
    keys = [
        interpolated(text, secrets)
        for text in (
            gateway["OPENAI_API_KEY"],
            worker["OPENAI_API_KEY"],
            SERVICES["trainer"]["environment"]["GATEWAY_TUNING_LOCAL_SERVICE_KEY"],
        )
    ]
    assert len(set(keys)) == 1


def test_a_receipt_of_the_gateway_is_known_to_the_api():
    keys = [
        SERVICES[name]["environment"]["GATEWAY_TUNING_RATING_TOKEN_KEY"]
        for name in ("gateway", "api", "worker")
    ]

    assert len(set(keys)) == 1


@pytest.mark.parametrize("name", sorted(ONCE))
def test_what_is_done_once_is_a_command_of_ours(name):
    program, *words = SERVICES[name]["command"]

    assert (program, fault(words)) == ("gateway-tuning", None)


def test_the_worker_looks_after_the_pool_that_is_deployed():
    pool = yaml.safe_load((ROOT / "deployments" / "work_pools" / "process.yaml").read_text(encoding="utf-8"))
    command = SERVICES["worker"]["command"]

    assert command[command.index("--pool") + 1] == pool["name"]
    assert command[command.index("--type") + 1] == pool["type"]


def test_every_address_inside_is_a_service_and_its_port():
    texts = [value for service in SERVICES.values() for value in service["environment"].values()]
    named = {host for text in texts for host in re.findall(r"(?:://|@|^)([a-z]+):\d+", text)}

    assert named == {"postgres", "objects", "prefect", "trainer", "gateway"}
