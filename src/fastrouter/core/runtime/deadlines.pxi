# Deadlines: everything that waits stands in one queue per kind of wait; one coarse tick per worker looks at the fronts.
#
# A queue has one fixed timeout, so appending at the back keeps it ordered and a tick costs only what has expired.

cdef class Timed:
    """Base of whatever can wait. Stands in at most one DeadlineQueue at a time."""

    cdef void arm(self, DeadlineQueue queue) noexcept:
        """Wait in `queue` from now on; a queue without a timeout never ends the wait."""
        cdef Timed last
        if self.queue is not None:
            self.disarm()
        if queue.timeout_ns <= 0:
            return
        # A few milliseconds do not matter among the tenths of seconds of the tick; but who joins at a look is for the next one.
        self.expires_ns = max(coarse_ns(), queue.looked_ns) + queue.timeout_ns
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
        """`queue`'s time is over for this one, which no longer stands in it."""
        raise AssertionError("a Timed class defines on_deadline")

    cdef int on_panic(self, object error) except -1:
        """A callback of this one has raised `error`, a fault of ours: end what it was about, and let nobody wait for it."""
        raise AssertionError("a Timed class defines on_panic")


cdef class DeadlineQueue:
    """Those who wait for the same kind of thing, the longest-waiting first. `timeout` in seconds; 0 means no limit."""

    def __cinit__(self, double timeout):
        self.timeout_ns = <int64_t>(timeout * 1e9)

    cdef expire(self, int64_t now_ns):
        cdef Timed waiting
        self.looked_ns = now_ns
        while self.first is not None and self.first.expires_ns <= now_ns:
            waiting = self.first
            waiting.disarm()
            try:
                waiting.on_deadline(self)
            except Exception as error:
                # Those behind it have nothing to do with it.
                waiting.on_panic(error)
