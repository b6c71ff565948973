# RequestWalk: finds the oldest requests that are under way, a few connections at a time.

cdef class RequestWalk:
    """Looks at all clients that are there now, in calls of `step`; connections that come later are not looked at."""

    def __init__(self, DataPlane plane not None, double older_than=0.0, Py_ssize_t limit=100):
        if not 0 < limit <= 1000:
            raise ValueError(f"limit must be 1..1000, not {limit}")
        if not 0 <= older_than < 1e9:
            raise ValueError(f"older_than must be seconds, not {older_than}")
        self.plane = plane
        self.clients = list(plane.clients)
        self.until_ns = monotonic_ns() - <int64_t>(older_than * 1e9)
        self.limit = limit
        self.oldest = []

    def step(self, Py_ssize_t looks):
        """Look at so many more connections and requests, or a few more; returns whether that were all."""
        cdef AcceptedConnection client
        cdef Exchange exchange
        cdef list exchanges = []
        while looks > 0 and self.at < PyList_GET_SIZE(self.clients):
            client = <AcceptedConnection>PyList_GET_ITEM(self.clients, self.at)
            self.at += 1
            client.add_exchanges(exchanges)
            looks -= 1 + PyList_GET_SIZE(exchanges)
            for exchange in exchanges:
                if exchange.is_finished or exchange.request.received_ns > self.until_ns:
                    continue
                self.count += 1
                found = (-exchange.request.received_ns, self.count, exchange)
                if PyList_GET_SIZE(self.oldest) < self.limit:
                    heappush(self.oldest, found)
                else:
                    heappushpop(self.oldest, found)
            exchanges.clear()
        return self.at == PyList_GET_SIZE(self.clients)

    def requests(self):
        """What is still under way of the oldest, as (method, host, path, route, endpoint, state, seconds, bytes received, bytes
        sent, client, attempts, protocol, request id), the oldest first."""
        cdef Exchange exchange
        cdef Request request
        cdef int64_t now = monotonic_ns()
        cdef list shown = []
        for _, _, exchange in sorted(self.oldest, reverse=True):
            request = exchange.request
            if not exchange.is_finished:
                shown.append((
                    shown_text(request.head, request.method), shown_text(request.head, request.host), shown_path(request),
                    shown_route(exchange.round_trip), shown_endpoint(exchange.round_trip), exchange.state(),
                    (now - request.received_ns) / 1e9, request.bytes_received, exchange.response.bytes_sent,
                    shown_client(exchange), exchange.round_trip.attempt, shown_protocol(request), exchange.request_id_text(),
                ))
        return shown
