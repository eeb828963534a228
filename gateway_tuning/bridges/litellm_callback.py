"""The callback: it chooses arms before LiteLLM calls a model, and stores outcomes after.

It runs in LiteLLM's process and is imported by nothing else: LiteLLM is no dependency of this package.
"""

import asyncio
import logging
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import litellm
import sqlalchemy as sa
from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger

from gateway_tuning.bridges.fitting import Fitted, fit
from gateway_tuning.bridges.litellm_app import mount
from gateway_tuning.bridges.litellm_events import MARK, Event, read_event
from gateway_tuning.bridges.litellm_models import AnyUpstream, before_shutdown, proxy, targets
from gateway_tuning.feedback import rating_token
from gateway_tuning.gateway.door.names import ModelNameStore
from gateway_tuning.gateway.replies import RefusedError
from gateway_tuning.gateway.requests import chat_request
from gateway_tuning.gateway.routing import Route, Router, RoutingTable
from gateway_tuning.gateway.writer import OutcomeWriter
from gateway_tuning.rollout.outcomes import Outcome, OutcomeStore

_log = logging.getLogger(__name__)

_CHATS = frozenset({"completion", "acompletion"})
_RELOAD_S = 0.5
_WRITE_S = 0.2
_OUTCOMES = 10_000  # that wait for the store
_UNDER_WAY = 50_000  # requests without an end; LiteLLM forgets some
_REGISTERED_WITHIN_S = 5.0
_RATE_WITHIN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class _Attempt:
    answer_id: str
    route: Route
    deployment: str
    prompt_chars: int | None
    simulated: bool


class TuningCallback(CustomLogger):  # type: ignore[misc] # LiteLLM is not installed where types are checked
    """`deployments` are LiteLLM's names of versions; a version without one has the name of its endpoint's model."""

    def __init__(
        self,
        engine: sa.Engine,
        *,
        deployments: Mapping[str, str],
        rating_token_key: bytes | None,
        status_key: str | None,
    ) -> None:
        super().__init__()
        self._router = Router(engine, interval_s=_RELOAD_S, upstreams=AnyUpstream())
        self._writer = OutcomeWriter(OutcomeStore(engine), interval_s=_WRITE_S, limit=_OUTCOMES)
        self._model_names = ModelNameStore(engine)
        self._named = dict(deployments)
        self._rating_token_key = rating_token_key
        self._status_key = status_key
        self._names: dict[str, str] = {}
        self._fitted = Fitted()
        self._errors: tuple[str, ...] = ()
        self._faults: tuple[str, ...] = ()
        self._unfitted: str | None = None
        self._passed_by = False
        self._salt = secrets.token_hex(16)
        self._under_way: OrderedDict[str, _Attempt] = OrderedDict()
        self._started: float | None = None
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Needs a running event loop; a second call does nothing."""
        if self._keeping is not None:
            return
        loop = asyncio.get_running_loop()
        mount(proxy().app, status=self.status, rate=self._writer.rate, status_key=self._status_key)
        before_shutdown(self.close)
        self._started = loop.time()
        self._keeping = loop.create_task(self._keep())

    async def close(self) -> None:
        """Writes what is still on its way."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping

    def status(self) -> dict[str, Any]:
        """As the gateway's `/routes`: `error` is None where what is served follows the store.

        A split that LiteLLM cannot make is not served, so it is not shown; `faults` say why.
        """
        table, loaded_at = self._fitted.table, self._router.loaded_at
        return {
            "models": {
                model: {"stable": table.stable[model], "canary": _shown(table, model)}
                for model in table.models
            },
            "loaded_at": loaded_at.isoformat() if loaded_at is not None else None,
            "error": "; ".join(self._errors) or None,
            "faults": list(self._faults),
            "outcomes": {
                "written": self._writer.written,
                "pending": self._writer.pending,
                "lost": self._writer.lost,
                "error": self._writer.error,
            },
        }

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Sends a chat for a model of the registry to the deployment of its user's arm; leaves all else alone."""
        del user_api_key_dict, cache
        metadata = data.get("metadata")
        if isinstance(metadata, dict):
            metadata.pop(MARK, None)  # a client may not say it
        if call_type not in _CHATS:
            return data
        self.start()
        if self._router.loaded_at is None:
            await self._load()
        asked = data.get("model")
        model = self._names.get(asked, asked) if isinstance(asked, str) else None
        if model is None or model not in self._fitted.table.stable:
            return data
        try:
            self._assign(model, data)
        except RefusedError as error:
            raise HTTPException(error.status, error.message) from error
        return data

    def _assign(self, model: str, data: dict[str, Any]) -> None:
        sent = (data.get("proxy_server_request") or {}).get("headers") or {}
        headers = {
            name.lower().encode("latin-1"): str(value).encode("latin-1", "replace")
            for name, value in sent.items()
        }
        chat = chat_request(data, headers, served=model)
        answer_id = uuid.uuid4().hex
        route = self._fitted.table.route(model, chat.user, answer_id=answer_id, salt=self._salt)
        deployment = self._fitted.deployments[route.version_id]
        mark = {"x-gateway-answer-id": answer_id, "x-gateway-model-version": route.version_id}
        if self._rating_token_key is not None:
            expiry = datetime.now(UTC) + _RATE_WITHIN
            mark["x-gateway-rating-token"] = rating_token.issue(
                self._rating_token_key, answer_id, chat.user_id, expiry, version=route.version_id
            )
        metadata = data.get("metadata")
        data["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), MARK: mark}
        data["model"] = deployment
        # Another try or a fallback would mix the arms, and a cached answer says nothing of the model.
        data["num_retries"] = 0
        data["disable_fallbacks"] = True
        data["cache"] = {"no-cache": True, "no-store": True}
        self._under_way[answer_id] = _Attempt(answer_id, route, deployment, chat.prompt_chars, chat.simulated)
        if len(self._under_way) > _UNDER_WAY:
            self._under_way.popitem(last=False)
            self._writer.lost += 1

    async def async_post_call_response_headers_hook(
        self, data: dict[str, Any], *_: Any, **__: Any
    ) -> dict[str, str] | None:
        mark = (data.get("metadata") or {}).get(MARK)
        return dict(mark) if isinstance(mark, dict) else None

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        self._end(read_event(kwargs, response_obj, start_time, end_time))

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        self._end(read_event(kwargs, response_obj, start_time, end_time))

    def _end(self, event: Event) -> None:
        if event.mark is None:
            self._note_passed_by(event)
            return
        # The first end counts: LiteLLM may tell of several.
        attempt = self._under_way.pop(str(event.mark.get("x-gateway-answer-id")), None)
        if attempt is None or event.is_refusal:
            return
        error = event.error
        if event.group is not None and event.group != attempt.deployment:
            error = "mixed_arm"
            _log.error(
                "LiteLLM answered a request of version %s, its model %r, by %r: that mixes the arms. "
                "Keep other callbacks, fallbacks and routers that choose models off these models",
                attempt.route.version_id,
                attempt.deployment,
                event.group,
            )
        self._writer.add(
            Outcome(
                answer_id=attempt.answer_id,
                model=attempt.route.model,
                canary_id=attempt.route.canary_id,
                arm=attempt.route.arm,
                version_id=attempt.route.version_id,
                user_key=attempt.route.user_key,
                at=datetime.now(UTC),
                latency_ms=event.latency_ms,
                error=error,
                prompt_tokens=event.prompt_tokens,
                completion_tokens=event.completion_tokens,
                prompt_chars=attempt.prompt_chars,
                answer_chars=None if event.said is None else event.said.chars,
                refused=None if event.said is None else event.said.refused,
                simulated=attempt.simulated,
                first_token_ms=event.first_token_ms,
            )
        )

    def _note_passed_by(self, event: Event) -> None:
        """A model of the registry was asked for and no arm was chosen."""
        if event.group is not None and self._names.get(event.group, event.group) in self._fitted.table.stable:
            self._passed_by = True
            self._check()

    async def _keep(self) -> None:
        writing = asyncio.create_task(self._writer.keep_writing())
        try:
            while True:
                await self._load()
                await asyncio.sleep(_RELOAD_S)
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            await self._writer.close()

    async def _load(self) -> None:
        await self._router.load()
        with suppress(sa.exc.SQLAlchemyError):  # the router says that the store is unreachable
            names = await asyncio.to_thread(self._model_names.all)
            self._names = {name.name: name.model for name in names}
        try:
            self._fitted = fit(self._router.table, self._named, targets)
        except Exception as error:  # noqa: BLE001 - whatever LiteLLM's router raises, the last table serves on
            self._unfitted = f"LiteLLM does not tell its models: {type(error).__name__}: {error}"
        else:
            self._unfitted = None
        self._check()

    def _check(self) -> None:
        errors = [] if self._unfitted is None else [self._unfitted]
        faults = list(self._fitted.faults)
        if self._router.error is not None:
            errors.append(f"the routes could not be read, the last ones serve on: {self._router.error}")
        since = asyncio.get_running_loop().time() - (self._started or 0.0)
        if since > _REGISTERED_WITHIN_S and not any(one is self for one in litellm.callbacks):
            errors.append(
                "this callback is loaded but chooses no arms: put gateway_tuning.bridges.litellm.instance under "
                "litellm_settings.callbacks, not success_callback"
            )
        if self._passed_by:
            faults.append(
                "requests for models of the registry came past the assignment, by another API than chat completions "
                "or because this callback is not called: take these names out of LiteLLM's model_list"
            )
        known = {*self._errors, *self._faults}
        for fault in (*errors, *faults):
            if fault not in known:
                _log.error("LLM Gateway Tuning: %s", fault)
        self._errors, self._faults = tuple(errors), tuple(faults)


def _shown(table: RoutingTable, model: str) -> dict[str, Any] | None:
    split = table.splits.get(model)
    if split is None or split.candidate not in table.endpoints:
        return None
    return {"id": split.canary_id, "candidate": split.candidate, "share": split.share}
