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
# A dial costs more than everything else that becomes of a new connection. So the first request of one dials in a turn of the loop
# in which no other has begun, or else when nobody has dialled for this long.
cdef int64_t DIALS_NS = 4000000


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
    """Those who wait for a turn, first come, first served; and behind them dials for new clients, route by route."""

    def __cinit__(self):
        self.waiting = deque()
        self.dial_routes = deque()
        self.dials = {}

    cdef int add(self, Reader reader) except -1:
        self.waiting.append(reader)
        if not self.is_called:
            self._call()
        return 0

    cdef int add_arrival(self, Reader reader) except -1:
        """A connection has begun. When many do at once, it is not worked on before its turn, though uvloop reads it."""
        cdef int64_t now = monotonic_ns()
        self.has_arrival = True
        if now - self.arrivals_since > ARRIVALS_NS:
            self.arrivals_since = now
            self.arrivals = 0
        self.arrivals += 1
        if self.arrivals > ARRIVALS_AT_ONCE and not reader.waits_for_turn:
            reader.waits_for_turn = True
            return self.add(reader)
        return 0

    cdef bint may_dial(self) noexcept:
        """Whether the first request of a connection may dial at once."""
        return not self.dials and monotonic_ns() - self.last_dial_ns > DIALS_NS

    cdef int add_dial(self, Exchange exchange) except -1:
        """The first request of a connection is to dial in its turn: `RoundTripper.send` is called then."""
        cdef bytes route = exchange.pool.name
        exchange.waits_to_dial = True
        if route not in self.dials:
            self.dials[route] = deque()
            self.dial_routes.append(route)
        self.dials[route].append(exchange)
        if not self.is_called:
            self._call()
        return 0

    cdef Exchange _take_dial(self):
        """Out of the dials that wait, the oldest of the route whose turn it is; it may be over by now."""
        cdef bytes route = self.dial_routes.popleft()
        cdef object waiting = self.dials[route]
        cdef Exchange exchange = <Exchange>waiting.popleft()
        if waiting:
            self.dial_routes.append(route)
        else:
            del self.dials[route]
        return exchange

    cdef int _dial(self, int64_t until) except -1:
        """Let the next one dial who still wants to."""
        cdef Exchange exchange
        while self.dials:
            exchange = self._take_dial()
            if exchange.waits_to_dial and not exchange.is_finished:
                try:
                    exchange.tripper.send(exchange, True)
                except Exception as error:
                    exchange.on_panic(error)
                break
            if monotonic_ns() >= until:
                break
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
        if self.dials and (not self.has_arrival or monotonic_ns() - self.last_dial_ns > DIALS_NS):
            self._dial(until)
        self.has_arrival = False
        if (self.waiting or self.dials) and not self.is_called:
            self._call()

    cdef int clear(self) except -1:
        self.waiting.clear()
        self.dial_routes.clear()
        self.dials.clear()
        return 0
