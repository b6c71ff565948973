"""How long ago an endpoint was registered, and whether that is too long (spec 3.6)."""

import math
from collections.abc import Callable

from fastrouter.logs.logger import Logger
from fastrouter.registry.route import Member


class Freshness:
    """The ages of members by `clock`, in seconds.

    While `is_suspended` says that the source of registrations is out of reach, nothing is pruned; afterwards every
    member counts as registered at that moment. What comes from a snapshot of the table is in doubt until it is
    registered again.
    """

    def __init__(self, logger: Logger, clock: Callable[[], float], is_suspended: Callable[[], bool]) -> None:
        self._logger = logger
        self._clock = clock
        self._is_suspended = is_suspended
        self._was_suspended = False
        # A time of the clock: members that were registered before it count as registered at it.
        self._all_fresh_at = -math.inf
        # Members that were registered up to this time, and not again, are in doubt.
        self._doubted_at = -math.inf

    def doubt(self) -> None:
        """From now on all members are in doubt; pruning is suspended at this moment."""
        self._doubted_at = self._clock()
        self._was_suspended = True

    def is_suspended(self) -> bool:
        """Return whether pruning is suspended, and remember it for `resume`."""
        if not self._is_suspended():
            return False
        self._logger.info("prune-suspended")
        self._was_suspended = True
        return True

    def resume(self) -> None:
        """Make all members fresh if pruning was suspended."""
        if self._was_suspended:
            self._was_suspended = False
            self._logger.debug("prune-unsuspended-refresh-routes-start")
            self._all_fresh_at = self._clock()
            self._logger.debug("prune-unsuspended-refresh-routes-complete")

    def age(self, member: Member) -> float:
        """Return how long ago `member` was registered, in this router or before."""
        return self._clock() - member.refreshed_at

    def age_in_successor(self, member: Member) -> float:
        """Return the age that `member` is to have there: 0 while pruning is suspended, after which all are fresh."""
        if self._was_suspended or self._is_suspended():
            return 0.0
        return self._clock() - self._refreshed_at(member)

    def is_stale(self, member: Member, now: float) -> bool:
        """Whether `member` was not registered again in time."""
        # If another app takes over the address of a TLS endpoint, its certificate shows it, so age does not matter
        # (spec 3.6).
        # An app that may have gone while the router did not run has no such right.
        traits = member.endpoint.traits
        is_kept = traits.tls and member.refreshed_at > self._doubted_at
        return not is_kept and now - self._refreshed_at(member) > traits.stale_threshold

    def _refreshed_at(self, member: Member) -> float:
        return max(member.refreshed_at, self._all_fresh_at)
