"""Whether the tokens of an issuer can be checked."""

import jwt

from gateway_tuning.access.jwks import KeySet, KeysUnavailableError
from gateway_tuning.doctor.finding import Finding, fault, not_configured, ok
from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.settings import Settings

CHECK = "tokens"


def check_tokens(settings: Settings) -> Finding:
    if settings.jwt_jwks is None:
        if settings.jwt_secret is not None:
            return ok(CHECK, "checked by a shared secret")
        return not_configured(CHECK, "API keys alone open the API")
    try:
        KeySet(settings.jwt_jwks).get("doctor")
    except jwt.InvalidKeyError:
        pass  # the keys were read, and as is right none has this name
    except (GatewayTuningError, KeysUnavailableError) as error:
        return fault(
            CHECK, str(error), "Correct GATEWAY_TUNING_JWT_JWKS, or let the issuer answer this machine"
        )
    return ok(CHECK, f"the issuer's keys are read from {settings.jwt_jwks}")
