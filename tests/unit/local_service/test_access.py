"""Who may call the service, and how much they may send."""

import httpx
import pytest

from gateway_tuning.local_service.access import is_loopback

KEY = "a key of our own"


@pytest.fixture
def get(world, serve):
    def get(key=None, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(f"{serve(world, key)}/v1/models", headers=names, trust_env=False)

    return get


def test_with_a_key_only_its_bearer_may_call(get):
    assert get(KEY, authorization=f"Bearer {KEY}").status_code == 200
    for refused in (get(KEY), get(KEY, authorization="Bearer another"), get(KEY, authorization=KEY)):
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"


def test_without_a_key_programs_of_this_machine_may_call(get):
    assert get().status_code == 200


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"host": "evil.example"}, {"host": "evil.example:80"}]
)
def test_without_a_key_no_web_page_may_call(get, headers):
    refused = get(**headers)

    assert refused.status_code == 403
    assert "GATEWAY_TUNING_LOCAL_SERVICE_KEY" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("host", "loops"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("[::1]", True),
        ("::1", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),  # noqa: S104 - asked about, not bound
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_rest(host, loops):
    assert is_loopback(host) is loops


@pytest.mark.parametrize("path", ["chat/completions", "fine_tuning/jobs"])
def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(world, serve, path):
    address = serve(world)

    def chunks():
        for _ in range(9):
            yield b" " * 10**6

    for body in (b" " * (8 * 10**6 + 1), chunks()):
        answer = httpx.post(f"{address}/v1/{path}", content=body, trust_env=False)
        assert answer.status_code == 413
