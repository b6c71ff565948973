"""Whether the router is fit for traffic (spec 1.4)."""

from enum import Enum


class State(Enum):
    """Initializing, then healthy, then degraded for good."""

    INITIALIZING = "initializing"
    HEALTHY = "healthy"
    DEGRADED = "degraded"


class Health:
    """The state that health checks report."""

    def __init__(self) -> None:
        self._state = State.INITIALIZING

    @property
    def is_healthy(self) -> bool:
        """Whether a load balancer may send clients here."""
        return self._state is State.HEALTHY

    def set_healthy(self) -> None:
        """Become healthy, unless the router is degraded already."""
        if self._state is State.INITIALIZING:
            self._state = State.HEALTHY

    def degrade(self) -> None:
        """Become degraded, for good."""
        self._state = State.DEGRADED
