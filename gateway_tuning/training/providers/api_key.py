"""API keys that are missing, or that no HTTP header takes, are told before anything is sent. Pure."""

import re

from pydantic import SecretStr

from gateway_tuning.errors import ConfigurationError

_SENDABLE = re.compile(r"[\x21-\x7e]+")


def required(key: SecretStr | None, who: str, variable: str) -> SecretStr:
    """Raises ConfigurationError: it is not set, or cannot be sent."""
    if key is None:
        raise ConfigurationError(f"{who} needs an API key: set {variable}")
    return sendable(key, variable)


def sendable(key: SecretStr, variable: str) -> SecretStr:
    """The key itself. HTTP libraries quote a header that they refuse, and with it the key, in their errors.

    Raises:
        ConfigurationError: it does not tell the key.
    """
    if _SENDABLE.fullmatch(key.get_secret_value()) is None:
        raise ConfigurationError(
            f"{variable} is empty, or has a space, a line break or a letter beyond ASCII, which no header takes; "
            "set it to the key alone"
        )
    return key
