# Reader: the reading end of a connection: whether it is read at all, and how long it may work in one go.
#
# Nobody holds the loop. A connection that has had its share of a wake-up keeps what is left, is not read, and waits for a turn
# (Turns); so its sender waits, and everybody else is served in between.

# How long one connection works on what it was given before it waits for a turn. It is looked at between two steps (a message, some
# chunks, a slice of TLS), each of which takes much less.
cdef int64_t SHARE_NS = 250000
# How long all those who wait for a turn work, together, between two looks at the sockets.
cdef int64_t TURNS_NS = 500000
# libuv reads on while it gets as much as it asks for (uvloop: 256,000 bytes, asyncio: 262,144), up to 32 times in a row. After as
# much as this a connection waits for a turn, whatever it costs to handle.
cdef Py_ssize_t FULL_READ = 200000


cdef class Reader(Timed):
    cdef int let_read(self, bint wanted) except -1:
        """Read on, or not, because there is somewhere to put what comes, or not."""
        self.is_read_paused = not wanted
        return self._apply()

    cdef int wait_for_turn(self) except -1:
        """This one has had its share: `on_turn` is called later, and nothing is read until then."""
        if not self.waits_for_turn:
            self.waits_for_turn = True
            self.tripper.turns.add(self)
        return self._apply()

    cdef int take_turn(self) except -1:
        self.waits_for_turn = False
        if self.transport is not None:
            try:
                self.on_turn()
            except Exception as error:
                self.on_panic(error)
        return self._apply()

    cdef int on_turn(self) except -1:
        """Go on with what is left over."""
        raise AssertionError("a Reader class defines on_turn")

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


cdef class Turns:
    """Those who wait for a turn, first come, first served."""

    def __cinit__(self):
        self.waiting = deque()

    cdef int add(self, Reader reader) except -1:
        self.waiting.append(reader)
        if not self.is_called:
            self._call()
        return 0

    cdef int _call(self) except -1:
        # uvloop looks at the sockets between this call and the next.
        self.is_called = True
        self.loop.call_soon(self._take)
        return 0

    def _take(self):
        cdef int64_t until = monotonic_ns() + TURNS_NS
        self.is_called = False
        while self.waiting:
            (<Reader>self.waiting.popleft()).take_turn()
            if monotonic_ns() >= until:
                break
        if self.waiting and not self.is_called:
            self._call()

    cdef int clear(self) except -1:
        self.waiting.clear()
        return 0


cdef inline bint is_share_spent(int64_t* begun) noexcept:
    """Between two steps: whether SHARE_NS have passed. `begun` is 0 at first; the first step is free."""
    cdef int64_t now = monotonic_ns()
    if begun[0] == 0:
        begun[0] = now
    return now - begun[0] > SHARE_NS
