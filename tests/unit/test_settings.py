import os
import traceback

import pytest

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.settings import Settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("GATEWAY_TUNING_", "OPENAI_", "MISTRAL_", "PREFECT_API")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "name", ["RATING_TOKEN_KEY", "LOCAL_SERVICE_KEY", "JWT_SECRET", "MAX_BATCH", "PRICE_FILE"]
)
def test_an_empty_variable_is_as_good_as_none(monkeypatch, name):
    monkeypatch.setenv(f"GATEWAY_TUNING_{name}", "")

    assert Settings() == Settings.model_construct()


def test_an_empty_variable_of_ours_does_not_hide_the_vendors(monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_OPENAI_API_KEY", "")
    monkeypatch.setenv("OPENAI_API_KEY", "vendors")

    assert Settings().openai_api_key.get_secret_value() == "vendors"


def test_a_variable_that_cannot_be_read_is_named_and_its_value_is_not_shown(monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_MAX_BATCH", "hunter2")
    monkeypatch.setenv("GATEWAY_TUNING_S3_CHECKSUMS", "hunter2")

    with pytest.raises(ConfigurationError) as caught:
        Settings()

    assert "GATEWAY_TUNING_MAX_BATCH: Input should be a valid integer" in str(caught.value)
    assert "GATEWAY_TUNING_S3_CHECKSUMS: Input should be 'when_supported' or 'when_required'" in str(
        caught.value
    )
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_variables_are_read_from_the_file_env_too(tmp_path):
    (tmp_path / ".env").write_text("GATEWAY_TUNING_FEEDBACK_THRESHOLD=7\n")

    assert Settings().feedback_threshold == 7
