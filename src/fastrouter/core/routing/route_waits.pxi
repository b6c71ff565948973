# RouteWaits: requests without a route wait a few milliseconds, because the registration may be on its way.
#
# A request right after a registration can come too early: the message goes through the bus and the control process, the request
# does not. So the client is treated as if such a request had not come yet.

# How many waiting clients, the latest ones, are checked when the table has changed; the others go on when their time is over.
cdef int AWAITED_AT_ONCE = 16


cdef class RouteWaits:
    def __cinit__(self, double patience, Turns turns not None):
        self.patience = patience
        self.turns = turns
        # Clients that came before and after the last tick; there is one every half of the patience.
        self.earlier = {}
        self.later = {}

    cdef int add(self, FairReader client, Exchange exchange) except -1:
        """Let `client` wait until there is a route for what `exchange` asks for, or its time is over: see `on_route`."""
        self.later[client] = exchange
        if self.timer is None:
            self._set_timer()
        return 0

    cdef int on_change(self, RouteTable table) except -1:
        """The table has changed: let clients go on whose route is there now."""
        cdef int looks = AWAITED_AT_ONCE
        cdef dict clients
        cdef FairReader client
        for clients in (self.later, self.earlier):
            for client in list(islice(reversed(clients), looks)):
                looks -= 1
                if is_routed(table, clients[client]):
                    del clients[client]
                    client.on_route(True)
        return 0

    def _end_half(self):
        cdef FairReader client
        self.timer = None
        for client in self.earlier:
            client.on_route(False)
        self.earlier = self.later
        self.later = {}
        if self.earlier:
            self._set_timer()

    cdef int _set_timer(self) except -1:
        self.timer = self.turns.loop.call_later(self.patience / 2, self._end_half)
        return 0

    cdef int clear(self) except -1:
        self.earlier.clear()
        self.later.clear()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        return 0


cdef bint is_routed(RouteTable table, Exchange exchange) except -1:
    """Whether there is a route, with endpoints, for what `exchange` asks for."""
    cdef Request request = exchange.request
    cdef const char* base = PyBytes_AS_STRING(request.head)
    cdef EndpointPool pool = table.find(
        base + request.host.start, request.host.length, base + request.path.start, request.path.length
    )
    return pool is not None and PyList_GET_SIZE(pool.endpoints) > 0
