# Deadlines: everything that waits stands in one queue per kind of wait; one coarse tick per worker looks at the fronts.
#
# A queue has one fixed timeout, so appending at the back keeps it ordered and a tick costs only what has expired.

cdef class Timed:
    """Base of everything that can wait. It is in at most one DeadlineQueue at a time."""

    cdef void arm(self, DeadlineQueue queue) noexcept:
        """Wait in `queue` from now on; a queue without a timeout never ends the wait."""
        cdef Timed last
        if self.queue is not None:
            self.disarm()
        # The coarse clock is exact enough for a tick of 0.1 s. A waiter that joins during a check is for the next one.
        self.expires_ns = max(coarse_ns(), queue.looked_ns) + queue.timeout_ns
        if queue.timeout_ns <= 0:
            return
        self.queue = queue
        last = queue.last
        self.ahead = last
        self.behind = None
        if last is None:
            queue.first = self
        else:
            last.behind = self
        queue.last = self

    cdef void disarm(self) noexcept:
        cdef DeadlineQueue queue = self.queue
        cdef Timed ahead, behind
        if queue is None:
            return
        ahead = self.ahead
        behind = self.behind
        if ahead is None:
            queue.first = behind
        else:
            ahead.behind = behind
        if behind is None:
            queue.last = ahead
        else:
            behind.ahead = ahead
        self.ahead = self.behind = None
        self.queue = None

    cdef on_deadline(self, DeadlineQueue queue):
        """The time in `queue` is over; this waiter is not in the queue any more."""
        raise AssertionError("a Timed class defines on_deadline")

    cdef int on_panic(self, object error) except -1:
        """A callback has raised `error`, a fault of the router: end what it was about, so that nothing waits for it."""
        raise AssertionError("a Timed class defines on_panic")


cdef class DeadlineQueue:
    """Waiters of the same kind, the longest-waiting first. `timeout` in seconds; 0 means no limit."""

    def __cinit__(self, double timeout):
        self.timeout_ns = <int64_t>(timeout * 1e9)

    cdef bint expire(self, int64_t now_ns, int64_t until_ns) except -1:
        """Tell waiters whose time is over at `now_ns`. False: `until_ns` (both CLOCK_MONOTONIC) came first, there may be more."""
        cdef Timed waiting
        self.looked_ns = now_ns
        while self.first is not None and self.first.expires_ns <= now_ns:
            waiting = self.first
            waiting.disarm()
            try:
                waiting.on_deadline(self)
            except Exception as error:
                # The fault of one waiter must not affect those behind it.
                waiting.on_panic(error)
            if monotonic_ns() >= until_ns:
                return False
        return True
