# FairReader: whether a connection is read, and for how long it may work on one read (ADR 8).
#
# No connection holds the loop. One that has used its share of time keeps the rest of its bytes, is not read, and waits for a
# turn (Turns). So its sender waits, and other connections are served in between.

# How long one connection works on a read before it waits for a turn. The clock is checked between two steps (a message, some
# chunks, a slice of TLS), each of which takes much less.
cdef int64_t SHARE_NS = 250000
# libuv reads again while a read fills the buffer (uvloop: 256,000 bytes, asyncio: 262,144), up to 32 times in a row. After a read
# of this size a connection waits for a turn in any case.
cdef Py_ssize_t FULL_READ = 200000
# A connection that has worked longer than this on one read handles the next read in its turn, so that a turn of the loop has one
# such piece of work and not two. Checked for reads of LARGE_READ bytes and more; smaller ones are limited by SHARE_NS.
cdef int64_t HEAVY_NS = 125000
cdef Py_ssize_t LARGE_READ = 16384


cdef class FairReader(Timed):
    cdef int let_read(self, bint wanted) except -1:
        """Pause or resume reading for back-pressure."""
        self.is_read_paused = not wanted
        return self._apply()

    cdef int wait_for_turn(self) except -1:
        """The share of time is used up: `on_turn` is called later, and nothing is read until then."""
        if not self.waits_for_turn:
            self.waits_for_turn = True
            self.plane.turns.add(self)
        return self._apply()

    cdef int keep_for_turn(self, bytes data) except -1:
        """Keep `data`, behind what is kept already, for the next turn."""
        self.unread = data if self.unread is None else self.unread + data
        return self.wait_for_turn()

    cdef inline bint must_wait(self) noexcept:
        """Whether the bytes of this read must wait for a later turn."""
        return self.is_heavy or self.waits_for_turn

    cdef inline void begin_read(self, Py_ssize_t size) noexcept:
        self.begun_ns = monotonic_ns() if size >= LARGE_READ else 0

    cdef inline int end_read(self, Py_ssize_t size) except -1:
        """End of the work on a read of `size` bytes, which began with `begin_read`."""
        if size >= LARGE_READ and monotonic_ns() - self.begun_ns > HEAVY_NS:
            self.is_heavy = True
        self.begun_ns = 0
        if size >= FULL_READ or self.waits_for_turn:
            return self.wait_for_turn()
        return 0

    cdef inline bint is_share_spent(self) noexcept:
        """Between two steps: whether SHARE_NS have passed since a large read or a turn began, or else since the first step."""
        cdef int64_t now = monotonic_ns()
        if self.begun_ns == 0:
            self.begun_ns = now
        return now - self.begun_ns > SHARE_NS

    cdef int take_turn(self) except -1:
        cdef int64_t begun = monotonic_ns()
        self.begun_ns = begun
        self.waits_for_turn = False
        if self.transport is not None:
            try:
                self.on_turn()
            except Exception as error:
                self.on_panic(error)
        self.is_heavy = self.waits_for_turn or monotonic_ns() - begun > HEAVY_NS
        self.begun_ns = 0
        return self._apply()

    cdef int on_turn(self) except -1:
        """Continue with the bytes that were kept."""
        raise AssertionError("a FairReader class defines on_turn")

    cdef int on_route(self, bint is_there) except -1:
        """The route that a request of this one has waited for is there, or the time for it is over."""
        raise AssertionError("a FairReader class that waits for routes defines on_route")

    cdef int _apply(self) except -1:
        cdef bint is_stopped = self.is_read_paused or self.waits_for_turn
        if is_stopped == self.is_read_stopped or self.transport is None:
            return 0
        if is_stopped:
            self.transport.pause_reading()
        elif self.transport.is_closing():
            return 0
        else:
            self.transport.resume_reading()
        self.is_read_stopped = is_stopped
        return 0
