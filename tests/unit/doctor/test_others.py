"""Settings, providers, gateways and this machine."""

import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway_tuning.doctor.examine import CHECKS, examine, is_well
from gateway_tuning.doctor.finding import State
from gateway_tuning.doctor.gateways import check_gateways
from gateway_tuning.doctor.machine import check_machine, space
from gateway_tuning.doctor.models import check_models
from gateway_tuning.doctor.providers import check_providers
from gateway_tuning.doctor.settings import check_settings
from gateway_tuning.doctor.tokens import check_tokens
from gateway_tuning.settings import Settings
from tests.wire.openai_jobs import KEY, OpenAIServer
from tests.wire.server import running


def settings_of(home=Path(), **given):
    return Settings(_env_file=None, home=home, **given)


def test_a_misspelt_variable_is_told_with_what_was_meant():
    (found,) = check_settings(settings_of(), ["GATEWAY_TUNING_DATABSE_URL", "PATH"])

    assert found.state is State.WARNING
    assert "did you mean GATEWAY_TUNING_DATABASE_URL?" in found.remedy


def test_known_variables_that_go_together_are_well():
    (found,) = check_settings(settings_of(), ["GATEWAY_TUNING_HOME", "gateway_tuning_openai_api_key", "HOME"])

    assert found.state is State.OK


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"require_rating_tokens": True}, "RATING_TOKEN_KEY"),
        (
            {"jwt_secret": "s" * 32, "jwt_jwks": "keys.json", "jwt_issuer": "i", "jwt_audience": "a"},
            "JWT_JWKS",
        ),
        ({"jwt_secret": "s" * 32}, "JWT_ISSUER"),
    ],
)
def test_settings_that_contradict_each_other_are_faults(given, named):
    (found,) = check_settings(settings_of(**given), [])

    assert (found.state, named in found.remedy) == (State.FAULT, True)
    assert "s" * 32 not in found.told + found.remedy


def test_a_provider_whose_key_opens_the_list_of_jobs_is_well_and_others_are_not_configured(tmp_path):
    with running(OpenAIServer().app) as url:
        given = {"openai_api_key": KEY, "openai_base_url": f"{url}/v1"}
        found = {one.check: one for one in check_providers(settings_of(tmp_path, **given))}

    assert found["provider openai"].state is State.OK
    assert found["provider mistral"].state is State.NOT_CONFIGURED
    assert "provider llama" not in found


def test_a_key_that_is_refused_is_a_fault_that_does_not_show_it(tmp_path):
    refusal = JSONResponse({"error": {"message": "Incorrect API key provided"}}, 401)
    with running(Starlette(routes=[Route("/v1/{rest:path}", lambda _request: refusal)])) as url:
        given = {"openai_api_key": "sk-secret-of-mine", "openai_base_url": f"{url}/v1"}
        found = {one.check: one for one in check_providers(settings_of(tmp_path, **given))}

    assert found["provider openai"].state is State.FAULT
    assert "sk-secret-of-mine" not in found["provider openai"].told


def test_a_gateway_that_is_well_one_that_is_not_and_one_that_is_gone_are_told_apart():
    ill = JSONResponse({"status": "degraded", "outcomes": {"error": "the disk is full"}})
    routes = [
        Route("/well/healthz", lambda _request: JSONResponse({"status": "ok"})),
        Route("/ill/healthz", lambda _request: ill),
    ]
    with running(Starlette(routes=routes)) as url:
        given = f"{url}/well, {url}/ill/, http://127.0.0.1:9, {url}"
        found = list(check_gateways(settings_of(gateway_urls=given)))

    assert [one.state for one in found] == [State.OK, State.WARNING, State.FAULT, State.FAULT]
    assert "the disk is full" in found[1].told


def test_an_issuer_whose_keys_cannot_be_read_is_a_fault(tmp_path):
    private = Ed25519PrivateKey.generate()
    key = json.loads(OKPAlgorithm.to_jwk(private.public_key())) | {"kid": "one", "alg": "EdDSA", "use": "sig"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [key]}))
    (tmp_path / "empty.json").write_text("{}")
    sources = [str(tmp_path / "keys.json"), str(tmp_path / "empty.json"), "https://127.0.0.1:9/keys", None]

    found = [check_tokens(settings_of(tmp_path, jwt_jwks=source)) for source in sources]

    assert [one.state for one in found] == [State.OK, State.FAULT, State.FAULT, State.NOT_CONFIGURED]


def test_a_full_disk_is_a_fault_and_a_narrow_one_a_warning(tmp_path):
    states = [space(tmp_path, free).state for free in (0.5e9, 3e9, 50e9)]

    assert states == [State.FAULT, State.WARNING, State.OK]
    assert is_well(check_machine(settings_of(tmp_path / "not" / "made" / "yet")))


def test_a_model_that_is_not_installed_is_a_fault(tmp_path):
    found = next(check_models(settings_of(tmp_path, spacy_model="en_core_web_none")))

    assert (found.check, found.state) == ("anonymization", State.FAULT)
    assert "en_core_web_none" in found.told


def test_a_check_that_breaks_off_is_a_fault_and_the_others_go_on(tmp_path, monkeypatch):
    def broken(_settings):
        raise RuntimeError("secret of mine")

    monkeypatch.setattr("gateway_tuning.doctor.stores.check_clock", broken)
    found = list(examine(settings_of(tmp_path), tmp_path, only=("clock", "machine")))

    assert found[0].state is State.FAULT
    assert "secret of mine" not in found[0].told
    assert {one.check for one in found} == {"clock", "home folder", "disk"}
    assert not is_well(found)


def test_what_cannot_be_examined_for_want_of_a_package_is_a_fault_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)  # as where it is not installed
    for module in ("gateways", "prefect"):
        monkeypatch.delitem(sys.modules, f"gateway_tuning.doctor.{module}", raising=False)

    (found,) = examine(settings_of(tmp_path), tmp_path, only=("gateways",))

    assert found.state is State.FAULT
    assert "httpx is not installed here" in found.told


def test_every_check_that_can_be_asked_for_is_there(tmp_path):
    found = list(
        examine(settings_of(tmp_path, prefect_api_url=None), tmp_path, only=set(CHECKS) - {"models"})
    )

    assert not [one for one in found if "could not be examined" in one.told or "itself failed" in one.told]
    assert len({one.check for one in found}) >= len(CHECKS) - 1
