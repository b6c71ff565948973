# RoundTrip: the attempts of one exchange: select an endpoint, acquire a connection or dial, send; and again where that is safe.

@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class RoundTrip:
    # The garbage collector does not track it: it gets its exchange as an argument, and refers to none, except through
    # connections that serve one.

    def __cinit__(self):
        self.cursor = -1
        self.hash_slot = -1

    # --- where it goes

    cdef int go_to(self, EndpointPool pool) except -1:
        """The endpoints of this route may serve the request; None: there is no route."""
        self.route = self.pool = pool
        return 0

    cdef int narrow_to(self, EndpointPool pool) except -1:
        """Of the endpoints of its route only these may serve; None: none of them."""
        self.pool = pool
        return 0

    cdef void enter_route(self, RouteCounters counters) noexcept:
        """It is under way, to be counted by its route."""
        if counters is not None and self.route.slot:
            self.is_on_route = True
            counters.enter(self.route.slot)

    cdef void leave_route(self, RouteCounters counters) noexcept:
        """It is over. A route that was dropped meanwhile has no slot any more."""
        if self.is_on_route:
            self.is_on_route = False
            if self.route.slot:
                counters.leave(self.route.slot)

    cdef int visit(self, RouteService service, Endpoint endpoint) except -1:
        """The request goes to a route service, which is dialled at `endpoint`."""
        self.service = service
        self.endpoint = endpoint
        self.is_special = True
        return 0

    cdef void guard(self) noexcept:
        """Policies, if there are any, decide which endpoints the request may reach."""
        self.is_special = True

    cdef int name_endpoint(self, Endpoint endpoint) except -1:
        """Let log lines name this endpoint, though the request goes nowhere."""
        self.endpoint = endpoint
        return 0

    cdef void set_cursor(self, Py_ssize_t cursor) noexcept:
        self.cursor = cursor

    cdef void set_hash_slot(self, int slot) noexcept:
        self.hash_slot = slot

    # --- attempts

    cdef int begin(self, Exchange exchange) except -1:
        """Begin the next attempt: select, acquire or dial, send (spec 5.1)."""
        self.attempt_ns = monotonic_ns()
        if self.attempt == 0:
            self.started_ns = self.attempt_ns
            self.enter_route(exchange.plane.route_counters)
        self.attempt += 1
        if self.is_special:
            return self._begin_special(exchange)
        return self._begin_at(exchange, self.pool.select(exchange))

    cdef int _begin_special(self, Exchange exchange) except -1:
        """Begin an attempt at the route service, or at an endpoint that the caller may reach."""
        cdef Endpoint endpoint
        if self.service is not None:
            if self.route.is_guarded and not may_visit(exchange):
                return self._forbid(exchange, <Endpoint>self.route.endpoints[0])
            return self._begin_visit(exchange)
        endpoint = self.pool.select(exchange)
        if endpoint is not None and not self._is_admitted(exchange, endpoint):
            return self._forbid(exchange, endpoint)
        return self._begin_at(exchange, endpoint)

    cdef bint _is_admitted(self, Exchange exchange, Endpoint endpoint) except -1:
        if not self.route.is_guarded:
            return True
        if verdict_on(self.route, endpoint, exchange.request.caller) != POLICY_ADMITS:
            return False
        self.policy = "route:" + endpoint.policy.source_of(exchange.request.caller)
        return True

    cdef int _forbid(self, Exchange exchange, Endpoint endpoint) except -1:
        """Respond to a caller that may not reach `endpoint`, which log lines name."""
        cdef int verdict = verdict_on(self.route, endpoint, exchange.request.caller)
        self.policy = <str>_policy_rules[verdict]
        self.name_endpoint(endpoint)
        return respond_forbidden(exchange, verdict)

    cdef int _begin_at(self, Exchange exchange, Endpoint endpoint) except -1:
        """Begin an attempt at an endpoint that was selected, or respond if none was."""
        cdef EndpointPool pool = self.pool
        if self.attempt > 1 and self.attempt > PyList_GET_SIZE(pool.endpoints) and endpoint is not None:
            # Every endpoint was tried and none has joined meanwhile: the last error stands.
            if endpoint.address_bytes in self.tried:
                return respond_failure(exchange, self.failure)
        if endpoint is None:
            return self.respond_unserved(exchange)
        if not endpoint.reserve(exchange.plane.settings.max_conns):
            # Another worker has taken the last place. The endpoint is at its limit now, so the next selection passes it over.
            self.attempt -= 1
            return self.begin(exchange)
        self.endpoint = endpoint
        self.is_resent = False
        self.is_counted = True
        if exchange.plane.logs_debug:
            exchange.log(LOG_DEBUG, "backend", {**described_destination(exchange), "attempt": self.attempt})
        exchange.plane.counters[COUNTER_ATTEMPTS] += 1
        exchange.plane.counters[COUNTERS_NAMED + endpoint.component_row] += 1
        return self._begin_sending(exchange)

    cdef int respond_unserved(self, Exchange exchange) except -1:
        """No endpoint is to be had for the attempt."""
        cdef EndpointPool pool = self.pool
        if self.failure is None and not exchange.request.must_stick and pool.is_drained():
            return respond_drained(exchange)
        if self.failure is None and pool.is_exhausted_for(exchange):
            # Handler 15 has seen a place: another worker has taken it meanwhile, or it is at an endpoint that is draining.
            return respond_at_limit(exchange)
        exchange.log(LOG_ERROR, "select-endpoint-failed", {"host": pool.host, "error": "No endpoints available"})
        if self.failure is not None:
            # The last endpoint was pruned for it.
            return respond_failure(exchange, self.failure)
        return respond_failure(exchange, Failure(FAILURE_NO_ENDPOINTS, "No endpoints available"))

    cdef int _begin_visit(self, Exchange exchange) except -1:
        """Make an attempt at the route service, over a connection that is used once (spec 5.6, 5.9.7)."""
        if exchange.plane.logs_debug:
            exchange.log(LOG_DEBUG, "route-service", {
                "route-service-url": described_url(self.service.url), "attempt": self.attempt,
            })
        return self._begin_sending(exchange)

    cdef int _begin_sending(self, Exchange exchange) except -1:
        self.dial_started_ns = self.dialled_ns = self.secured_ns = 0
        if not exchange.request.wants_websocket:
            exchange.arm(exchange.plane.http2_attempts if exchange.request.is_http2 else exchange.plane.attempts)
        return self.send(exchange, False)

    cdef int send(self, Exchange exchange, bint is_turn) except -1:
        """Send on an idle connection, or dial when there is none: a new client, when many come, in its turn."""
        cdef DataPlane plane = exchange.plane
        cdef BackendSide backend = self.endpoint.connection_pool().acquire(exchange.request)
        self.waits_to_dial = False
        if backend is None:
            if exchange.request.is_first:
                if not is_turn and not plane.turns.may_dial():
                    self.waits_to_dial = True
                    return plane.turns.add_dial(exchange)
                plane.turns.last_dial_ns = monotonic_ns()
            plane.counters[COUNTER_DIALS] += 1
            backend = self.endpoint.connection_pool().new(plane, self.endpoint, exchange.request)
        return exchange.attach(backend)

    # --- how it goes

    cdef void on_dial(self) noexcept:
        self.dial_started_ns = monotonic_ns()
        self.dial_failed_ns = 0

    cdef void on_dialled(self) noexcept:
        self.dialled_ns = monotonic_ns()

    cdef void on_secured(self) noexcept:
        """The TLS handshake is over."""
        self.secured_ns = monotonic_ns()

    cdef void on_dial_failed(self) noexcept:
        self.dial_failed_ns = monotonic_ns()

    cdef int on_sent(self, str local_address) except -1:
        """The request's head goes out."""
        self.is_head_sent = True
        self.local_address = local_address
        return 0

    cdef int on_success(self, Exchange exchange, int status) except -1:
        """The attempt has succeeded: the backend, or the route service, has said something final."""
        self.has_response = True
        self.release_count()
        if self.service is not None:
            note_service_response(exchange, status)
        if exchange.request.wants_websocket:
            # Gorouter counts any response to a WebSocket request as an upgrade (spec 5.1).
            exchange.plane.counters[COUNTER_WEBSOCKET_UPGRADES] += 1
        return 0

    cdef int release_count(self) noexcept:
        """The endpoint is counted as busy until its response head arrives (spec 5.1)."""
        if self.is_counted:
            self.is_counted = False
            self.endpoint.unreserve()
        return 0

    cdef int on_cut(self, Failure failure) except -1:
        """The response breaks off in the middle: nothing can be tried again."""
        self.failure = failure
        return 0

    cdef int on_failed(self, Exchange exchange, Failure failure, bint was_reused, bint got_bytes) except -1:
        """An attempt ended before a response head: try again where it is safe, else respond (spec 5.4)."""
        cdef Endpoint endpoint = self.endpoint
        cdef int max_attempts = exchange.plane.settings.max_attempts
        cdef bint is_lost = failure.kind == FAILURE_EOF or failure.kind == FAILURE_RESET
        cdef bint is_replayable = exchange.request.is_replayable() and not got_bytes
        self.was_head_sent = self.is_head_sent
        self.is_head_sent = False
        if (is_lost and was_reused and is_replayable) or (failure.kind == FAILURE_REFUSED and not self.is_resent):
            # A kept connection that was already dead, or a stream that nobody has looked at: the same attempt goes on over
            # another one (spec 5.4).
            self.is_resent = True
            return self.send(exchange, False)
        self.release_count()
        if failure.kind == FAILURE_TOO_MANY_HEADERS:
            # To Gorouter this attempt has succeeded, but its response is not usable.
            self.failure = failure
            log_failed_attempt(exchange, was_reused)
            return respond_failure(exchange, failure)
        if is_replayable and (failure.kind == FAILURE_EOF or (is_lost and self.is_resent)):
            # Of a backend that dies, the kept connections end first and the one dialled in their place is reset.
            failure.kind = FAILURE_IDEMPOTENT_EOF
        # Body bytes that were sent were not kept, so no other endpoint could get them.
        failure.is_retriable = failure.row().retriable and not (
            self.was_head_sent and exchange.request.framing != FRAMING_NONE and failure.kind != FAILURE_REFUSED
        )
        self._note_failure(exchange, failure, was_reused)
        if endpoint.is_route_service:
            max_attempts = exchange.plane.settings.route_services.max_attempts
        else:
            mark_endpoint(exchange, failure)
        if not failure.is_retriable or self.attempt >= max_attempts:
            return respond_failure(exchange, failure)
        if self.tried is None:
            self.tried = set()
        self.tried.add(endpoint.address_bytes)
        self.local_address = None
        return self.begin(exchange)

    cdef int give_up(self, Exchange exchange, bint was_reused) except -1:
        """The client has left before a response: the attempt under way is over, and no endpoint is marked (spec 5.10)."""
        self.was_head_sent = self.is_head_sent
        self._note_failure(exchange, Failure(FAILURE_CLIENT_GONE, "context canceled"), was_reused)
        if is_body_cut(exchange):
            exchange.plane.log(
                LOG_ERROR, "gateway-error-and-original-request-context-cancelled", {"error": cause_of_cancelling(exchange)}
            )
        return respond_failure(exchange, self.failure)

    cdef int _note_failure(self, Exchange exchange, Failure failure, bint was_reused) except -1:
        self.failure = failure
        self.failed_attempts += 1
        self.last_failed_ns = monotonic_ns()
        if exchange.plane.metron is not None:
            exchange.plane.metron.on_attempt(exchange, 0, 0)
        return log_failed_attempt(exchange, was_reused)


cdef int mark_endpoint(Exchange exchange, Failure failure) except -1:
    """Remove or mark the endpoint that failed, if it is still there (spec 5.2.4)."""
    cdef EndpointPool pool = exchange.round_trip.pool
    cdef Endpoint endpoint = exchange.round_trip.endpoint
    cdef Py_ssize_t at = pool.find(endpoint.address_bytes)
    if at < 0:
        return 0
    if failure.row().prunable and (<Endpoint>pool.endpoints[at]).tls:
        log_endpoint("prune-failed-endpoint", exchange)
        pool.remove(endpoint.address_bytes)
        if exchange.plane.on_prune is not None and not pool.is_thrown_away:
            exchange.plane.on_prune(pool.uri, endpoint.address)
    elif failure.row().failable:
        log_endpoint("endpoint-marked-as-ineligible", exchange)
        # The real pool learns nothing of what an instance-targeted request met (spec 3.8).
        if not pool.is_thrown_away:
            (<Endpoint>pool.endpoints[at]).mark(failure.kind)
    return 0


cdef int log_endpoint(str message, Exchange exchange) except -1:
    """Log that the endpoint that failed is marked or pruned. As in Gorouter, the line has no ids of the request's trace."""
    if exchange.plane.table_log is not None:
        exchange.plane.table_log(LOG_ERROR, message, described_destination(exchange))
    return 0


cdef int log_failed_attempt(Exchange exchange, bint was_reused) except -1:
    cdef bint is_crowded = exchange.round_trip.failure.kind == FAILURE_TOO_MANY_HEADERS
    if exchange.round_trip.endpoint.is_route_service:
        return log_attempt(
            exchange, "route-service-too-many-response-headers" if is_crowded else "route-service-connection-failed",
            was_reused,
        )
    return log_attempt(
        exchange, "backend-too-many-response-headers" if is_crowded else "backend-endpoint-failed", was_reused
    )


cdef int log_attempt(Exchange exchange, str message, bint was_reused) except -1:
    """Log a failed attempt with everything Gorouter says of one (spec 5.1)."""
    cdef str error = exchange.round_trip.failure.text
    if exchange.plane.event_log is None:
        return 0
    # Gorouter logs the error with the text that its classifier puts around it; the client gets the error alone.
    if exchange.round_trip.failure.kind == FAILURE_CLIENT_GONE:
        error = f"{error} ({cause_of_cancelling(exchange)})"
    else:
        if exchange.round_trip.failure.kind == FAILURE_IDEMPOTENT_EOF or (error == "EOF" and exchange.request.is_replayable()):
            error = f"{error} (via idempotent request)"
        if not exchange.round_trip.was_head_sent:
            error = f"incomplete request ({error})"
    return exchange.log(LOG_ERROR, message, {
        **described_destination(exchange),
        **described_attempt(exchange, was_reused, exchange.round_trip.was_head_sent),
        "error": error,
        "retriable": exchange.round_trip.failure.is_retriable,
    })
