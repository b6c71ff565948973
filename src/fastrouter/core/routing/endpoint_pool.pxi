# EndpointPool: the endpoints of one route, and which of them serves a request (spec 5.2).

@cython.no_gc
cdef class EndpointPool:
    # Not tracked by the collector. Only an open connection leads from an endpoint back to its pool, and none outlives its router.

    def __cinit__(self, bytes name, list endpoints):
        self.name = name
        self.endpoints = endpoints
        self.cursor = -1

    def __len__(self):
        return len(self.endpoints)

    @property
    def uri(self):
        """The URI of the first registration, without query and trailing slash."""
        return self.name.decode("utf-8")

    @property
    def host(self):
        """The host of the first registration, in its original case."""
        return self.uri.partition("/")[0]

    @property
    def context_path(self):
        """The path of the first registration; "/" without one."""
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

    # --- selection

    cdef Endpoint select(self, Exchange exchange):
        """The endpoint for the exchange's current attempt, or None: none is left, or all are at their limit."""
        cdef Settings settings = exchange.plane.settings
        cdef Endpoint endpoint
        if exchange.request.sticky is not None and (
            exchange.round_trip.attempt <= 1 or exchange.request.must_stick or settings.keeps_sticky_metadata
        ):
            endpoint = self.find_sticky(exchange.request.sticky)
            if exchange.plane.logs_debug:
                log_stickiness(exchange, self, endpoint)
            if endpoint is not None and not is_overloaded(endpoint, settings):
                return endpoint
            if exchange.request.must_stick:
                return None
        if self._is_least_connection(settings):
            return self._least_connection(settings, exchange.round_trip.attempt <= 1)
        return self._round_robin(exchange, settings)

    cdef bint _is_least_connection(self, Settings settings) except -1:
        return (self.algorithm or settings.balancing_algorithm) == "least-connection"

    cdef int log_algorithm(self, Exchange exchange) except -1:
        """Log by which algorithm a request's endpoints are selected."""
        cdef str name = "least-connection" if self._is_least_connection(exchange.plane.settings) else "round-robin"
        return exchange.log(LOG_DEBUG, f"endpoint-iterator-with-{name}-lb-algo", {})

    cdef Endpoint find_sticky(self, bytes identity):
        """The endpoint with this instance id, or at this address (spec 3.4: both kinds of key count)."""
        cdef Py_ssize_t i
        cdef Endpoint endpoint
        for i in range(PyList_GET_SIZE(self.endpoints)):
            endpoint = <Endpoint>PyList_GET_ITEM(self.endpoints, i)
            if endpoint.is_instance(identity):
                return endpoint
        i = self.find(identity)
        return None if i < 0 else <Endpoint>self.endpoints[i]

    cdef Endpoint _round_robin(self, Exchange exchange, Settings settings):
        """The next endpoint from the exchange's cursor on that carries no failure mark (spec 5.2.2).

        The pool's cursor moves by one per request, the exchange's own by one per attempt. After a full round without a result,
        all marks and the zone are forgotten, unless all endpoints are overloaded: a pool that failed as a whole is tried again at
        once.
        """
        cdef Py_ssize_t size = PyList_GET_SIZE(self.endpoints)
        cdef Py_ssize_t cursor = exchange.round_trip.cursor
        cdef Py_ssize_t i
        cdef bint is_local = settings.prefers_local and exchange.round_trip.attempt <= 1
        cdef bint has_room = False
        cdef Endpoint endpoint
        if size == 0:
            return None
        if cursor < 0:
            if self.cursor < 0:
                self.cursor = <Py_ssize_t>((<const uint32_t*>random_bytes(4))[0] % <uint32_t>size)
            else:
                self.cursor += 1
            if self.cursor >= size:
                self.cursor = 0
            cursor = self.cursor
        for i in range(2 * size):
            if cursor >= size:
                cursor = 0
            endpoint = <Endpoint>PyList_GET_ITEM(self.endpoints, cursor)
            cursor += 1
            exchange.round_trip.set_cursor(cursor)
            if self.is_available(endpoint, settings):
                has_room = True
                if not (is_local and endpoint.availability_zone != settings.zone) and not is_marked(endpoint, settings):
                    return endpoint
            if i == size - 1:
                if not has_room:
                    return None
                self._forget_marks()
                is_local = False
        return None

    cdef Endpoint _least_connection(self, Settings settings, bint is_first):
        """The endpoint with the fewest requests in flight, by chance among equals; local ones may come first (spec 5.2.3)."""
        cdef Endpoint best = None
        cdef Endpoint best_local = None
        cdef Endpoint endpoint
        cdef uint32_t ties = 0
        cdef uint32_t local_ties = 0
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(self.endpoints)):
            endpoint = <Endpoint>PyList_GET_ITEM(self.endpoints, i)
            if not self.is_available(endpoint, settings):
                continue
            if is_better(endpoint, best, &ties):
                best = endpoint
            if settings.prefers_local and is_first and endpoint.availability_zone == settings.zone:
                if is_better(endpoint, best_local, &local_ties):
                    best_local = endpoint
        return best if best_local is None else best_local

    cdef bint is_available(self, Endpoint endpoint, Settings settings) noexcept:
        """Whether it may get a request that does not stick to it: it is not full, and does not drain.

        Who names an instance gets it, as long as it is there.
        """
        return not (endpoint.is_draining and not self.is_thrown_away) and not is_overloaded(endpoint, settings)

    cdef bint is_drained(self) noexcept:
        """Whether there are endpoints, and all of them drain."""
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(self.endpoints)):
            if not (<Endpoint>PyList_GET_ITEM(self.endpoints, i)).is_draining:
                return False
        return PyList_GET_SIZE(self.endpoints) > 0

    cdef bint has_room(self, Settings settings) noexcept:
        """Whether any endpoint is below its limit."""
        cdef Py_ssize_t i
        if settings.max_conns == 0:
            return True
        for i in range(PyList_GET_SIZE(self.endpoints)):
            if not is_overloaded(<Endpoint>PyList_GET_ITEM(self.endpoints, i), settings):
                return True
        return False

    cdef bint is_exhausted_for(self, Exchange exchange) noexcept:
        """Whether `select` has found no endpoint because all are at their limit.

        A request that must stick to its instance is not refused for the limit as long as others have room (spec 5.2.1).
        """
        if PyList_GET_SIZE(self.endpoints) == 0:
            return False
        # Without a sticky instance only full endpoints lead to this, even if one of them has room again by now.
        return not exchange.request.must_stick or not self.has_room(exchange.plane.settings)

    cdef int _forget_marks(self) noexcept:
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(self.endpoints)):
            (<Endpoint>PyList_GET_ITEM(self.endpoints, i)).failed_at_ns[0] = 0
        return 0

    def __repr__(self):
        return f"<EndpointPool {self.uri} {[endpoint.address for endpoint in self.endpoints]}>"


cdef int log_stickiness(Exchange exchange, EndpointPool pool, Endpoint endpoint) except -1:
    """Log what happens to the sticky instance: `endpoint`, or None if it is missing."""
    cdef dict requested = {"requested-endpoint": exchange.request.sticky.decode("utf-8", "replace")}
    if not exchange.request.must_stick:
        if exchange.round_trip.attempt <= 1:
            # Gorouter logs this even if the instance is not missing.
            exchange.log(LOG_DEBUG, "endpoint-missing-choosing-alternate", requested)
    elif endpoint is None:
        exchange.log(LOG_DEBUG, "endpoint-missing-but-request-must-be-sticky", requested)
    elif is_overloaded(endpoint, exchange.plane.settings):
        exchange.log(LOG_DEBUG, "endpoint-overloaded-but-request-must-be-sticky", described_endpoint(endpoint, pool))
    return 0


cdef inline bint is_overloaded(Endpoint endpoint, Settings settings) noexcept:
    return settings.max_conns > 0 and endpoint.total_in_flight[0] >= settings.max_conns


cdef inline bint is_marked(Endpoint endpoint, Settings settings) noexcept:
    """Whether it failed so recently that it is passed over."""
    if endpoint.failed_at_ns[0] == 0:
        return False
    if monotonic_ns() - endpoint.failed_at_ns[0] <= settings.failure_memory_ns:
        return True
    endpoint.failed_at_ns[0] = 0
    return False


cdef inline bint is_better(Endpoint endpoint, Endpoint best, uint32_t* ties) except -1:
    """Whether `endpoint` replaces `best`; each of n equal endpoints is the result with the same probability."""
    if best is None or endpoint.total_in_flight[0] < best.total_in_flight[0]:
        ties[0] = 1
        return True
    if endpoint.total_in_flight[0] > best.total_in_flight[0]:
        return False
    ties[0] += 1
    return (<const uint32_t*>random_bytes(4))[0] % ties[0] == 0
