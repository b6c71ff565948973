# EndpointPool: the endpoints of one route, and which of them serves a request (spec 5.2).

# How long a failure mark keeps an endpoint out of the rotation: a quarter of Gorouter's droplet_stale_threshold (spec 3.10).
cdef int64_t FAILURE_MEMORY_NS = 30 * 1000000000

cdef class EndpointPool:
    def __cinit__(self, str host, str context_path):
        self.host = host
        self.context_path = context_path
        self.endpoints = []
        self.cursor = -1

    def __len__(self):
        return len(self.endpoints)

    cdef bint put(self, Endpoint endpoint) except -1:
        """Add an endpoint, or replace the one of the same address in its place. Returns whether it is a new one."""
        cdef Py_ssize_t i
        cdef Endpoint known
        for i in range(PyList_GET_SIZE(self.endpoints)):
            known = <Endpoint>self.endpoints[i]
            if known.address == endpoint.address:
                # Same identity: its warm connections go on serving.
                if known is not endpoint:
                    endpoint.connections = known.connections
                    self.endpoints[i] = endpoint
                return False
        self.endpoints.append(endpoint)
        return True

    cdef bint remove(self, str address) except -1:
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(self.endpoints)):
            if (<Endpoint>self.endpoints[i]).address == address:
                del self.endpoints[i]
                return True
        return False

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
        return f"<EndpointPool {self.host}{self.context_path} {[e.address for e in self.endpoints]}>"
