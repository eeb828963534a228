"""A rating of an answer, given to the gateway itself: for canaries, not for training."""

import re

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from gateway_tuning.errors import NotFoundError
from gateway_tuning.gateway.replies import RefusedError, json_reply
from gateway_tuning.gateway.requests import read_body, read_json
from gateway_tuning.gateway.routes.parts import Parts

_ANSWER_ID = re.compile(r"[0-9a-f]{32}")


async def rate(request: Request) -> Response:
    """Raises RefusedError."""
    parts: Parts = request.app.state.parts
    parts.door.visitor(dict(request.headers.raw))
    answer_id = request.path_params["answer_id"]
    if _ANSWER_ID.fullmatch(answer_id) is None:  # what was never given costs the store nothing
        raise RefusedError(
            404, "answer_not_found", "No such answer: send the id of the header x-gateway-answer-id"
        )
    score = read_json(await read_body(request.receive)).get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not -1 <= score <= 1:
        raise RefusedError(400, "invalid_score", "The rating must have a number 'score' between -1 and 1")
    try:
        await parts.writer.rate(answer_id, float(score))
    except NotFoundError as error:
        raise RefusedError(404, "answer_not_found", str(error)) from error
    except sa.exc.SQLAlchemyError as error:
        raise RefusedError(
            503, "store_unreachable", "The rating could not be stored; send it again"
        ) from error
    return json_reply({"answer_id": answer_id, "score": float(score)})
