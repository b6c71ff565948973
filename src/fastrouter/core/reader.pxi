# Reader: the reading end of a connection: whether it is read at all, and how long it may work in one go.
#
# Nobody holds the loop. A connection that has had its share of a wake-up keeps what is left, is not read, and waits for a turn
# (Turns); so its sender waits, and everybody else is served in between.

# How long one connection works on what it was given before it waits for a turn. It is looked at between two steps (a message,
# some chunks, a slice of TLS), each of which takes much less.
cdef int64_t SHARE_NS = 250000
# How long all those who wait for a turn work, together, between two looks at the sockets.
cdef int64_t TURNS_NS = 100000
# libuv reads on while it gets as much as it asks for (uvloop: 256,000 bytes, asyncio: 262,144), up to 32 times in a row. After as
# much as this a connection waits for a turn, whatever it costs to handle.
cdef Py_ssize_t FULL_READ = 200000
# Who has worked longer than that on one read leaves the next one for its turn: a turn of the loop has one piece of it, not two.
# Looked at for reads of LARGE_READ bytes and more; less than that takes longer only if it is cut short by SHARE_NS.
cdef int64_t HEAVY_NS = 125000
cdef Py_ssize_t LARGE_READ = 16384
# Connections that begin within this long; those beyond ARRIVALS_AT_ONCE wait for a turn with their first bytes.
cdef int64_t ARRIVALS_NS = 1000000
cdef int ARRIVALS_AT_ONCE = 16


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

    cdef int keep_for_turn(self, bytes data) except -1:
        """Leave `data`, behind what is left already, for the next turn."""
        self.unread = data if self.unread is None else self.unread + data
        return self.wait_for_turn()

    cdef inline bint must_wait(self) noexcept:
        """Whether what has just been read is for a later turn."""
        return self.is_heavy or self.waits_for_turn

    cdef inline void begin_read(self, Py_ssize_t size) noexcept:
        self.begun_ns = monotonic_ns() if size >= LARGE_READ else 0

    cdef inline int end_read(self, Py_ssize_t size) except -1:
        """`size` bytes have been read, and worked on since `begin_read`."""
        if size >= LARGE_READ and monotonic_ns() - self.begun_ns > HEAVY_NS:
            self.is_heavy = True
        self.begun_ns = 0
        if size >= FULL_READ or self.waits_for_turn:
            return self.wait_for_turn()
        return 0

    cdef inline bint is_share_spent(self) noexcept:
        """Between two steps: whether SHARE_NS have passed, since a large read or a turn began, or else since the first step."""
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

    cdef int add_arrival(self, Reader reader) except -1:
        """A connection has begun. When many do at once, it is not worked on before its turn, though uvloop reads it."""
        cdef int64_t now = monotonic_ns()
        if now - self.arrivals_since > ARRIVALS_NS:
            self.arrivals_since = now
            self.arrivals = 0
        self.arrivals += 1
        if self.arrivals > ARRIVALS_AT_ONCE and not reader.waits_for_turn:
            reader.waits_for_turn = True
            return self.add(reader)
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
