"""An object of a tenant for every parameter that a path of the API may hold: how to make one, and its id."""

from datetime import UTC, datetime

from gateway_tuning.access.permissions import Role
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore


def api_key(services, tenant):
    key, _ = services.keys.create(tenant, "owned", Role.MODEL_VIEWER, by="cli:tests", now=datetime.now(UTC))
    return key.id


def feedback(services, tenant):
    now = datetime.now(UTC)
    record = FeedbackRecord(
        id="f-owned", tenant=tenant, type="thumbs_up", prompt="Where?", response="Here.", timestamp=now
    )
    FeedbackStore(services.engine).add([record], now)
    return record.id


OBJECTS = {"key_id": api_key, "feedback_id": feedback}
