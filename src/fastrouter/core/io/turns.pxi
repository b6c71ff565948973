# Turns: the connections that wait for a turn, and their order (ADR 8).

# How long all waiting connections together work between two polls of the sockets.
cdef int64_t TURNS_NS = 100000
# Connections that begin within this long; those beyond NEW_CONNECTIONS_AT_ONCE wait for a turn with their first bytes.
cdef int64_t NEW_CONNECTIONS_NS = 1000000
cdef int NEW_CONNECTIONS_AT_ONCE = 16
# A dial costs more than everything else a new connection causes. So the first request of a connection dials in a turn of the loop
# in which no other connection has begun, or when there was no dial for this long.
cdef int64_t DIALS_NS = 4000000


cdef class LoopCall:
    """Has the event loop call `_work` in its next turn: once, however often that is asked for."""

    cdef int call(self) except -1:
        # uvloop polls the sockets between this call and the next.
        if not self.is_called:
            self.is_called = True
            self.loop.call_soon(self._work)
        return 0

    def _work(self):
        raise AssertionError("a LoopCall class defines _work")


cdef class Turns(LoopCall):
    """Connections that wait for a turn, first come, first served; behind them dials for new clients, route by route."""

    def __cinit__(self):
        self.waiting = deque()
        self.dial_routes = deque()
        self.dials = {}

    cdef int add(self, FairReader reader) except -1:
        self.waiting.append(reader)
        return self.call()

    cdef int add_new_connection(self, FairReader reader) except -1:
        """A connection has begun. When many begin at once, its bytes wait for its turn, although uvloop reads them."""
        cdef int64_t now = monotonic_ns()
        self.has_new_connection = True
        if now - self.new_connections_since > NEW_CONNECTIONS_NS:
            self.new_connections_since = now
            self.new_connections = 0
        self.new_connections += 1
        if self.new_connections > NEW_CONNECTIONS_AT_ONCE and not reader.waits_for_turn:
            reader.waits_for_turn = True
            return self.add(reader)
        return 0

    cdef bint may_dial(self) noexcept:
        """Whether the first request of a connection may dial at once."""
        return not self.dials and monotonic_ns() - self.last_dial_ns > DIALS_NS

    cdef int add_dial(self, Exchange exchange) except -1:
        """Queue the dial of a connection's first request: `RoundTrip.send` is called in its turn."""
        cdef bytes route = exchange.round_trip.pool.name
        if route not in self.dials:
            self.dials[route] = deque()
            self.dial_routes.append(route)
        self.dials[route].append(exchange)
        return self.call()

    cdef Exchange _take_dial(self):
        """Take the oldest waiting dial of the route whose turn it is; its request may have ended meanwhile."""
        cdef bytes route = self.dial_routes.popleft()
        cdef object waiting = self.dials[route]
        cdef Exchange exchange = <Exchange>waiting.popleft()
        if waiting:
            self.dial_routes.append(route)
        else:
            del self.dials[route]
        return exchange

    cdef int _dial(self, int64_t until) except -1:
        """Start the next dial whose request has not ended."""
        cdef Exchange exchange
        while self.dials:
            exchange = self._take_dial()
            if exchange.round_trip.waits_to_dial and not exchange.is_finished:
                try:
                    exchange.round_trip.send(exchange, True)
                except Exception as error:
                    exchange.on_panic(error)
                break
            if monotonic_ns() >= until:
                break
        return 0

    def _work(self):
        """Give turns to those that wait."""
        cdef int64_t until = monotonic_ns() + TURNS_NS
        self.is_called = False
        while self.waiting:
            (<FairReader>self.waiting.popleft()).take_turn()
            if monotonic_ns() >= until:
                break
        if self.dials and (not self.has_new_connection or monotonic_ns() - self.last_dial_ns > DIALS_NS):
            self._dial(until)
        self.has_new_connection = False
        if self.waiting or self.dials:
            self.call()

    cdef int clear(self) except -1:
        self.waiting.clear()
        self.dial_routes.clear()
        self.dials.clear()
        return 0
