"""Gateways that users meet: whether each answers and is well."""

from collections.abc import Iterator

import httpx

from gateway_tuning.doctor.finding import Finding, fault, not_configured, ok, warning
from gateway_tuning.settings import Settings

_WAIT_S = 5.0


def check_gateways(settings: Settings) -> Iterator[Finding]:
    urls = [url.strip().rstrip("/") for url in (settings.gateway_urls or "").split(",") if url.strip()]
    if not urls:
        yield not_configured(
            "gateways",
            "the addresses of the gateways are not known here",
            "Set GATEWAY_TUNING_GATEWAY_URLS, so that the end of a canary is verified too",
        )
        return
    key = settings.gateway_status_key
    headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
    with httpx.Client(timeout=_WAIT_S, headers=headers) as client:
        for url in urls:
            yield _check(client, url)


def _check(client: httpx.Client, url: str) -> Finding:
    check = f"gateway {url}"
    try:
        answer = client.get(f"{url}/healthz")
        status = answer.json()
        state = status["status"]
    except httpx.HTTPError as error:
        return fault(
            check, f"does not answer ({type(error).__name__})", "Start `gateway-tuning serve-gateway` there"
        )
    except (ValueError, KeyError, TypeError):
        return fault(
            check, "what answers is no gateway of this project", "Correct GATEWAY_TUNING_GATEWAY_URLS"
        )
    if state == "ok":
        return ok(check, "answers and is well")
    faults = [
        f"{part}: {status[part]['error']}"
        for part in ("routes", "keys", "outcomes")
        if isinstance(status.get(part), dict) and status[part].get("error")
    ]
    return warning(
        check,
        f"serves and is {state}" + (f" ({'; '.join(faults)})" if faults else ""),
        "docs/operations.md says what each part of /healthz means",
    )
