"""The router as a component in the old sense: its announcement over NATS (spec 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastrouter.bus.connection import NatsConnection
from fastrouter.logs.logger import Logger

if TYPE_CHECKING:
    from nats.aio.msg import Msg


class ComponentAnnouncer:
    """Announces this component on the bus, and answers those who ask for components."""

    def __init__(self, logger: Logger, connection: NatsConnection, varz_json: Callable[[], bytes]) -> None:
        self._logger = logger
        self._connection = connection
        self._varz_json = varz_json

    async def start(self) -> None:
        """Subscribe to the questions, and announce. The connection must have been made."""
        await self._connection.subscribe("vcap.component.discover", self._answer)
        await self._connection.publish("vcap.component.announce", self._varz_json())
        self._logger.info("Component Router registered successfully")

    async def _answer(self, message: Msg) -> None:
        if message.reply:
            await self._connection.publish(message.reply, self._varz_json())
        else:
            self._logger.info("Received message with empty reply")
