"""Where notices go."""

from typing import Protocol

from gateway_tuning.errors import GatewayTuningError
from gateway_tuning.notices.notice import Notice


class DeliveryError(GatewayTuningError, RuntimeError):
    """A channel did not take a notice. The message names neither address nor secret: it stands in the store.

    `is_refused` says that the channel is there and did not want this notice; others may go through.
    """

    is_refused: bool = False
    retry_after_s: float | None = None


class Channel(Protocol):
    name: str

    def send(self, notice: Notice) -> None:
        """Returns once the channel has taken it, within a minute. Raises DeliveryError."""
