"""Shadows in the metadata store. Every gateway counts there before it asks, so that all together keep to the limits."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa

from gateway_tuning.errors import ConfigurationError, ConflictError, NotFoundError
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.registry.model_version import STABLE
from gateway_tuning.registry.store import require_no_erased
from gateway_tuning.rollout.shadows.rows import pair_of, row_of, shadow_of
from gateway_tuning.rollout.shadows.shadow import Pair, Shadow, State, TokenPrices
from gateway_tuning.storage.database import first_insert_wins, reading
from gateway_tuning.storage.tables import aliases, endpoints, model_versions, shadow_pairs, shadows

Grant = Literal["granted", "unpaid", "ended"]
"""`unpaid`: what is left is held by requests under way, which may cost less, or too little for so long a request."""

_UNUSUAL = 10  # of the budget one request may cost a tenth before it is an unusual one
_ALL_BUT_SPENT = Decimal("0.9")


@dataclass(frozen=True, slots=True)
class Active:
    """A running shadow and where its candidate answers; None where it does nowhere now."""

    shadow: Shadow
    endpoint: Endpoint | None


class ShadowStore:
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def start(
        self,
        model: str,
        *,
        tenant: str,
        candidate: str,
        share: float,
        max_requests: int,
        budget: Decimal | None,
        prices: TokenPrices | None,
        ends_at: datetime,
        by: str,
        now: datetime,
    ) -> Shadow:
        """Mirror what the alias `stable` answers from now on.

        Raises:
            ConfigurationError: a limit that cannot be, or a budget though nobody knows the price.
            ConflictError: the model has a running shadow, no stable version, or the candidate is that or has no endpoint.
            ErasedError: the candidate was trained on data of a person who was erased since.
        """
        with self._engine.begin() as connection:
            # The row of the alias is a lock for all who start one.
            locked = sa.select(aliases.c.version_id).where(
                aliases.c.model == model, aliases.c.alias == STABLE
            )
            control = connection.execute(locked.with_for_update()).scalar_one_or_none()
            if control is None:
                raise ConflictError(f"Model {model} has no stable version to be shadowed; promote one first")
            _refuse_unfit(connection, model, candidate, control)
            shadow = Shadow(
                id=f"shadow-{secrets.token_hex(6)}",
                tenant=tenant,
                model=model,
                candidate=candidate,
                control=control,
                share=share,
                max_requests=max_requests,
                salt=secrets.token_hex(16),
                started_by=by,
                started_at=now,
                ends_at=ends_at,
                prices=prices,
                budget=budget,
                spent=None if prices is None else Decimal(0),
                held=None if prices is None else Decimal(0),
            )
            _refuse_limits(shadow)
            connection.execute(sa.insert(shadows).values(row_of(shadow)))
        return shadow

    def get(self, shadow_id: str) -> Shadow:
        """Raises NotFoundError."""
        with reading(self._engine) as connection:
            return _get(connection, shadow_id)

    def all(self, model: str | None = None) -> list[Shadow]:
        """Newest first."""
        query = sa.select(shadows).order_by(shadows.c.started_at.desc(), shadows.c.id)
        if model is not None:
            query = query.where(shadows.c.model == model)
        with reading(self._engine) as connection:
            return [shadow_of(row) for row in connection.execute(query)]

    def stop(self, shadow_id: str, *, by: str, now: datetime) -> Shadow:
        """Stopping twice changes nothing. Raises NotFoundError."""
        with self._engine.begin() as connection:
            shadow = _get(connection, shadow_id)
            _end(connection, shadow, "stopped", f"stopped by {by}", now)
            return _get(connection, shadow_id)

    def running(self, now: datetime) -> list[Active]:
        """What gateways mirror now. Those whose time is over, or whose comparison is gone, are ended here."""
        query = (
            sa.select(
                shadows,
                aliases.c.version_id.label("stable"),
                model_versions.c.holds_erased_since,
                *(endpoints.c[name] for name in ("base_url", "served_model", "extra_body", "api_key_env")),
            )
            .select_from(shadows)
            .outerjoin(aliases, (aliases.c.model == shadows.c.model) & (aliases.c.alias == STABLE))
            .outerjoin(model_versions, model_versions.c.id == shadows.c.candidate)
            .outerjoin(endpoints, endpoints.c.version_id == shadows.c.candidate)
            .where(shadows.c.state == "running")
            .order_by(shadows.c.started_at)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        found = []
        for row in rows:
            shadow = shadow_of(row)
            reason = _over(shadow, row, now)
            if reason is None:
                found.append(Active(shadow, _endpoint(row)))
            else:
                with self._engine.begin() as connection:
                    _end(connection, shadow, "finished", reason, now)
        return found

    def reserve(self, shadow_id: str, bound: Decimal | None, *, now: datetime) -> Grant:
        """Count one request before it goes out. `bound` is what it may cost at most, None where nobody knows.

        A gateway that is killed leaves its requests counted and their bounds held: less is mirrored, never more.
        """
        with self._engine.begin() as connection:
            locked = sa.select(shadows).where(shadows.c.id == shadow_id).with_for_update()
            row = connection.execute(locked).one_or_none()
            if row is None or row.state != "running" or row.requests >= row.max_requests:
                return "ended"
            shadow = shadow_of(row)
            if now >= shadow.ends_at:
                _end(connection, shadow, "finished", "its time is over", now)
                return "ended"
            if shadow.budget is not None and bound is not None:
                grant = _afforded(connection, shadow, bound, now)
                if grant != "granted":
                    return grant
            values: dict[str, Any] = {"requests": shadow.requests + 1}
            if shadow.held is not None and bound is not None:
                values["held"] = str(shadow.held + bound)
            connection.execute(sa.update(shadows).where(shadows.c.id == shadow_id).values(values))
            if shadow.requests + 1 == shadow.max_requests:
                _end(connection, shadow, "finished", f"{shadow.max_requests} requests were mirrored", now)
        return "granted"

    def record(self, pair: Pair, *, bound: Decimal | None, charged: Decimal | None) -> None:
        """Store a pair, and let go of what was held for it; `charged` counts against the budget instead."""
        values = {name: getattr(pair, name) for name in shadow_pairs.c.keys()}  # noqa: SIM118 - no mapping
        values |= {
            "control_scores": dict(pair.control_scores),
            "candidate_scores": dict(pair.candidate_scores),
            "cost": None if pair.cost is None else str(pair.cost),
        }
        with self._engine.begin() as connection:
            locked = sa.select(shadows).where(shadows.c.id == pair.shadow_id).with_for_update()
            shadow = shadow_of(connection.execute(locked).one())
            with first_insert_wins(connection):
                connection.execute(sa.insert(shadow_pairs).values(values))
            if shadow.held is not None and shadow.spent is not None and bound is not None:
                spent = shadow.spent + (bound if charged is None else charged)
                changed = {"held": str(max(Decimal(0), shadow.held - bound)), "spent": str(spent)}
                connection.execute(sa.update(shadows).where(shadows.c.id == shadow.id).values(changed))

    def pairs(self, shadow_id: str) -> list[Pair]:
        """In order of their answers' times."""
        query = (
            sa.select(shadow_pairs)
            .where(shadow_pairs.c.shadow_id == shadow_id)
            .order_by(shadow_pairs.c.at, shadow_pairs.c.answer_id)
        )
        with reading(self._engine) as connection:
            return [pair_of(row) for row in connection.execute(query)]


def _refuse_limits(shadow: Shadow) -> None:
    if not 0 < shadow.share <= 1:
        raise ConfigurationError(f"The share {shadow.share} of a shadow must lie above 0 and at most at 1")
    if shadow.max_requests < 1:
        raise ConfigurationError(
            f"A shadow of {shadow.max_requests} requests mirrors nothing; give 1 or more"
        )
    if shadow.ends_at <= shadow.started_at:
        raise ConfigurationError(f"A shadow that ends at {shadow.ends_at.isoformat()} is over already")
    if shadow.budget is None:
        return
    if shadow.budget <= 0:
        raise ConfigurationError(
            f"A budget of {shadow.budget} pays for no request; give more, or leave it out"
        )
    if shadow.prices is None:
        raise ConfigurationError(
            f"Nobody knows what answers of {shadow.candidate} cost, so a budget cannot be kept. Give million_input_tokens "
            "and million_output_tokens in your price_file (docs/how-to/costs.md), or leave the budget out"
        )


def _refuse_unfit(connection: sa.Connection, model: str, candidate: str, control: str) -> None:
    require_no_erased(connection, candidate)
    if candidate == control:
        raise ConflictError(f"{candidate} is the stable version of {model}; shadow another one")
    served = sa.select(endpoints.c.version_id).where(endpoints.c.version_id == candidate)
    if connection.execute(served).first() is None:
        raise ConflictError(f"{candidate} has no endpoint to be asked at; serve it first")
    running = sa.select(shadows.c.id).where(shadows.c.model == model, shadows.c.state == "running")
    found = connection.execute(running).scalars().first()
    if found is not None:
        raise ConflictError(f"Model {model} has the running shadow {found}; stop it first")


def _over(shadow: Shadow, row: "sa.Row[Any]", now: datetime) -> str | None:
    if now >= shadow.ends_at:
        return "its time is over"
    if row.holds_erased_since is not None:
        return f"{shadow.candidate} was trained on data of a person who was erased since"
    if row.stable != shadow.control:
        return f"alias stable of {shadow.model} now points to {row.stable}, not to {shadow.control}"
    return None


def _endpoint(row: "sa.Row[Any]") -> Endpoint | None:
    if row.base_url is None:
        return None
    return Endpoint(row.base_url, row.served_model, dict(row.extra_body), row.api_key_env)


def _afforded(connection: sa.Connection, shadow: Shadow, bound: Decimal, now: datetime) -> Grant:
    spent, held, budget = shadow.spent or Decimal(0), shadow.held or Decimal(0), shadow.budget or Decimal(0)
    if spent + held + bound <= budget:
        return "granted"
    # One long request must not end what many usual ones can be paid from.
    is_usual = bound <= budget / _UNUSUAL
    if held or not (is_usual or spent >= budget * _ALL_BUT_SPENT):
        return "unpaid"
    told = f"{spent} of {budget} are spent, and the next request may cost {bound}"
    _end(connection, shadow, "over_budget", told, now)
    return "ended"


def _end(connection: sa.Connection, shadow: Shadow, state: State, reason: str, now: datetime) -> None:
    statement = (
        sa.update(shadows)
        .where(shadows.c.id == shadow.id, shadows.c.state == "running")
        .values(state=state, reasons=[reason], finished_at=now)
    )
    connection.execute(statement)


def _get(connection: sa.Connection, shadow_id: str) -> Shadow:
    row = connection.execute(sa.select(shadows).where(shadows.c.id == shadow_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"No shadow {shadow_id}; `gateway-tuning shadow list` lists them")
    return shadow_of(row)
