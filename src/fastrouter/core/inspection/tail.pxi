# Tail: the requests that end, while somebody listens.

cdef class Tail:
    """Keeps a record of each request that ends, or of some, until `take`; at most as many as there was room for then."""

    def __init__(self, *, str route="", int status_class=0, double slower_than=0.0, double sample=1.0):
        if not 0 <= status_class <= 5:
            raise ValueError(f"status_class must be 0..5, not {status_class}")
        if not 0 <= slower_than < 1e9:
            raise ValueError(f"slower_than must be seconds, not {slower_than}")
        if not 0 < sample <= 1:
            raise ValueError(f"sample must be above 0 and at most 1, not {sample}")
        self.route = _key_bytes(route) if route else None
        self.status_class = status_class
        self.slower_than_ns = <int64_t>(slower_than * 1e9)
        self.sample = <uint32_t>(sample * 0xFFFFFFFF)
        self.records = []

    def take(self, Py_ssize_t room):
        """(records, how many were lost for want of room) since the last call; so many more may come until the next one.

        A record is (Unix time of the request, method, host, path, status, route, endpoint, seconds, bytes received, bytes sent,
        client, attempts, protocol, router error, request id).
        """
        cdef list records = self.records
        cdef int64_t lost = self.lost
        self.records = []
        self.lost = 0
        self.room = room
        return records, lost

    cdef bint wants(self, Exchange exchange) except -1:
        cdef EndpointPool route = exchange.round_trip.route
        if self.status_class and exchange.response.status // 100 != self.status_class:
            return False
        if exchange.finished_ns - exchange.request.received_ns < self.slower_than_ns:
            return False
        if self.route is not None:
            # A name has its case, and may have slashes that its key has not.
            if route is None or not 0 <= PyBytes_GET_SIZE(route.name) - PyBytes_GET_SIZE(self.route) <= 2:
                return False
            if route.name != self.route and _key_bytes(route.uri) != self.route:
                return False
        return self.sample == 0xFFFFFFFF or (<const uint32_t*>random_bytes(4))[0] <= self.sample

    cdef int record(self, Exchange exchange) except -1:
        cdef Request request = exchange.request
        cdef bytes error = exchange.response.router_error
        if not self.wants(exchange):
            return 0
        if self.room <= 0:
            self.lost += 1
            return 0
        self.room -= 1
        self.records.append((
            request.received_wall_ns / 1e9, shown_text(request.head, request.method), shown_text(request.head, request.host),
            shown_path(request), exchange.response.status, shown_route(exchange.round_trip), shown_endpoint(exchange.round_trip),
            (exchange.finished_ns - request.received_ns) / 1e9, request.bytes_received, exchange.response.bytes_sent,
            shown_client(exchange), exchange.round_trip.attempt, shown_protocol(request),
            "" if error is None else error[:SHOWN_PATH_MAX].decode("utf-8", "replace"), exchange.request_id_text(),
        ))
        return 0


cdef int record_tails(Exchange exchange) except -1:
    """Somebody listens: a fault there is nothing to the request."""
    cdef Tail tail
    for tail in exchange.plane.tails:
        try:
            tail.record(exchange)
        except Exception as error:
            tail.lost += 1
            exchange.plane.log(LOG_ERROR, "tail-failed", {"error": repr(error)})
    return 0
