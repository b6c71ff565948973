# EndpointPool: the endpoints of one route, and which of them serves a request (spec 5.2).

@cython.no_gc
cdef class EndpointPool:
    # Not tracked by the collector. Only an open connection leads from an endpoint back to its pool, and none outlives its router.

    def __cinit__(self, bytes name, list endpoints):
        self.name = name
        self.endpoints = endpoints
        self.cursor = -1
        self._note_policies()

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
        return self._on_change()

    cdef bint remove(self, bytes address) except -1:
        cdef Py_ssize_t at = self.find(address)
        if at >= 0:
            del self.endpoints[at]
            self._on_change()
        return at >= 0

    cdef int _note_policies(self) except -1:
        cdef Py_ssize_t i
        self.is_guarded = False
        for i in range(PyList_GET_SIZE(self.endpoints)):
            if (<Endpoint>PyList_GET_ITEM(self.endpoints, i)).policy is not None:
                self.is_guarded = True
                break
        return 0

    cdef int _on_change(self) except -1:
        self._note_policies()
        return 0 if self.hashing is None else self.hashing.on_change()

    cdef int set_hashing(self, HashRouting hashing) except -1:
        """Balance by hash from now on, or no longer (None)."""
        if hashing is None or self.hashing is None or not hashing.is_same_as(self.hashing):
            self.hashing = hashing
        return 0

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
        cdef Py_ssize_t at
        if sticks(exchange):
            endpoint = self.find_sticky(exchange.request.sticky)
            if exchange.plane.logs_debug:
                log_stickiness(exchange, self, endpoint)
            if endpoint is not None and not is_overloaded(endpoint, settings):
                return endpoint
            if exchange.request.must_stick:
                return None
        if self.hashes(exchange):
            return self.hashing.select(self, exchange)
        if self._is_least_connection(settings):
            at = choose_least_busy(self, settings, settings.prefers_local and exchange.round_trip.attempt <= 1, None)
        else:
            at = self._next_in_turn(exchange, settings)
        return None if at < 0 else <Endpoint>PyList_GET_ITEM(self.endpoints, at)

    cdef inline bint hashes(self, Exchange exchange) except -1:
        """Whether the hash of a request says who serves it."""
        return self.hashing is not None and exchange.round_trip.hash_slot >= 0 and self.hashing.is_ready(self)

    cdef bint _is_least_connection(self, Settings settings) except -1:
        # Where a request has no hash, the router's own algorithm steps in.
        cdef str own = self.algorithm if self.hashing is None else None
        return (own or settings.balancing_algorithm) == "least-connection"

    cdef int log_algorithm(self, Exchange exchange) except -1:
        """Log by which algorithm a request's endpoints are selected; as in Gorouter, not that it is by hash."""
        if self.hashing is not None and exchange.round_trip.hash_slot >= 0:
            return 0
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

    cdef Py_ssize_t _next_in_turn(self, Exchange exchange, Settings settings) noexcept:
        """Where the next endpoint from the exchange's cursor on is (spec 5.2.2); -1: there is none.

        The pool's cursor moves by one per request, the exchange's own by one per attempt.
        """
        cdef Py_ssize_t start = exchange.round_trip.cursor
        cdef Py_ssize_t at
        cdef bint forgets_marks
        if PyList_GET_SIZE(self.endpoints) == 0:
            return -1
        if start < 0:
            start = self.next_turn()
            if start < 0:
                start = <Py_ssize_t>((<const uint32_t*>random_bytes(4))[0] % <uint32_t>PyList_GET_SIZE(self.endpoints))
                if self.is_closed(<Endpoint>PyList_GET_ITEM(self.endpoints, start)):
                    self.cursor = start
                    start = self.next_turn()
            self.cursor = start
        at = choose_in_turn(self, settings, start, settings.prefers_local and exchange.round_trip.attempt <= 1, &forgets_marks)
        exchange.round_trip.set_cursor(start if at < 0 else at + 1)
        if forgets_marks:
            self._forget_marks()
        return at

    cdef Py_ssize_t next_turn(self) noexcept:
        """Where the next request begins to look for an endpoint; -1: by chance, as it is the first.

        Those that are draining have no turn: otherwise whoever is behind one would get twice as much for a long time.
        """
        cdef Py_ssize_t size = PyList_GET_SIZE(self.endpoints)
        cdef Py_ssize_t turn = self.cursor
        cdef Py_ssize_t i
        if turn < 0:
            return -1
        for i in range(size):
            turn = turn + 1 if turn + 1 < size else 0
            if not self.is_closed(<Endpoint>PyList_GET_ITEM(self.endpoints, turn)):
                break
        return turn

    cdef inline bint is_closed(self, Endpoint endpoint) noexcept:
        """Whether an endpoint of this pool gets no new requests: it is draining, and not the only one that was asked for."""
        return endpoint.is_draining and not (self.is_thrown_away and PyList_GET_SIZE(self.endpoints) == 1)

    cdef bint is_drained(self) noexcept:
        """Whether none of its endpoints, of which there are some, gets new requests."""
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(self.endpoints)):
            if not self.is_closed(<Endpoint>PyList_GET_ITEM(self.endpoints, i)):
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

        A request that must stick to its instance is not refused for the limit as long as others have room (spec 5.2.1); nor is
        one that finds all of them busier than `hash_balance` allows.
        """
        if PyList_GET_SIZE(self.endpoints) == 0:
            return False
        # With neither, only full endpoints lead to this, even if one of them has room again by now.
        return (self.hashing is None and not exchange.request.must_stick) or not self.has_room(exchange.plane.settings)

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
