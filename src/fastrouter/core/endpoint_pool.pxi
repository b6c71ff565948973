# EndpointPool: the endpoints of one route, and which of them serves a request (spec 5.2).

# How long a failure mark keeps an endpoint out of the rotation: a quarter of Gorouter's droplet_stale_threshold (spec 3.10).
cdef int64_t FAILURE_MEMORY_NS = 30 * 1000000000

cdef class EndpointPool:
    def __cinit__(self, str uri, list endpoints):
        self.uri = uri
        self.endpoints = endpoints
        self.cursor = -1

    def __len__(self):
        return len(self.endpoints)

    @property
    def host(self):
        """The host as it was registered first, in its own case."""
        return self.uri.partition("/")[0]

    @property
    def context_path(self):
        """The path as it was registered first; "/" without one."""
        return "/" + self.uri.partition("/")[2]

    cdef int put(self, Endpoint endpoint) except -1:
        """Add an endpoint at the end, or replace the one of the same address in its place."""
        cdef Py_ssize_t at = self.find(endpoint.address_bytes)
        if at < 0:
            self.endpoints.append(endpoint)
        else:
            endpoint.take_over(<Endpoint>self.endpoints[at])
            self.endpoints[at] = endpoint
        return 0

    cdef bint remove(self, bytes address) except -1:
        cdef Py_ssize_t at = self.find(address)
        if at >= 0:
            del self.endpoints[at]
        return at >= 0

    cdef Py_ssize_t find(self, bytes address) except -2:
        """Position of the endpoint at `address` (host:port), -1 without it."""
        cdef Py_ssize_t at
        for at in range(PyList_GET_SIZE(self.endpoints)):
            if (<Endpoint>PyList_GET_ITEM(self.endpoints, at)).address_bytes == address:
                return at
        return -1

    cdef Endpoint select(self, Exchange exchange):
        """Round-robin: the next endpoint from the exchange's cursor on that carries no failure mark; None without any.

        The pool's cursor moves by one per request, the exchange's own by one per attempt. When every endpoint is marked, all
        marks are forgotten: a pool that failed as a whole is tried again at once.
        """
        cdef Py_ssize_t size = PyList_GET_SIZE(self.endpoints)
        cdef Py_ssize_t i
        cdef int64_t now = 0
        cdef Endpoint endpoint
        if size == 0:
            return None
        if exchange.cursor < 0:
            if self.cursor < 0:
                self.cursor = <Py_ssize_t>((<const uint32_t*>random_bytes(4))[0] % <uint32_t>size)
            else:
                self.cursor += 1
            if self.cursor >= size:
                self.cursor = 0
            exchange.cursor = self.cursor
        for i in range(size):
            if exchange.cursor >= size:
                exchange.cursor = 0
            endpoint = <Endpoint>PyList_GET_ITEM(self.endpoints, exchange.cursor)
            exchange.cursor += 1
            if endpoint.failed_at_ns == 0:
                return endpoint
            if now == 0:
                now = monotonic_ns()
            if now - endpoint.failed_at_ns > FAILURE_MEMORY_NS:
                endpoint.failed_at_ns = 0
                return endpoint
        for i in range(size):
            (<Endpoint>PyList_GET_ITEM(self.endpoints, i)).failed_at_ns = 0
        if exchange.cursor >= size:
            exchange.cursor = 0
        endpoint = <Endpoint>PyList_GET_ITEM(self.endpoints, exchange.cursor)
        exchange.cursor += 1
        return endpoint

    def __repr__(self):
        return f"<EndpointPool {self.uri} {[endpoint.address for endpoint in self.endpoints]}>"
