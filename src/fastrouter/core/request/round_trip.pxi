# RoundTrip: the attempts of one exchange: select an endpoint, acquire a connection or dial, send; and again where that is safe.

cdef int begin_attempt(Exchange exchange) except -1:
    """Begin the next attempt: select, acquire or dial, send (spec 5.1)."""
    cdef EndpointPool pool = exchange.pool
    cdef Endpoint endpoint
    if exchange.service is not None:
        return attempt_visit(exchange)
    if exchange.attempt == 0:
        exchange.proxy_started_ns = monotonic_ns()
    exchange.attempt += 1
    endpoint = pool.select(exchange)
    if exchange.attempt > 1 and exchange.attempt > PyList_GET_SIZE(pool.endpoints) and endpoint is not None:
        # Every endpoint was tried and none has joined meanwhile: the last error stands.
        if endpoint.address_bytes in exchange.tried:
            return respond_failure(exchange, exchange.failure)
    if endpoint is None:
        if exchange.failure is None and pool.is_exhausted_for(exchange):
            # Handler 15 has seen a place, and another worker has taken it meanwhile.
            return respond_at_limit(exchange)
        exchange.log(LOG_ERROR, "select-endpoint-failed", {"host": pool.host, "error": "No endpoints available"})
        if exchange.failure is not None:
            # The last endpoint was pruned for it.
            return respond_failure(exchange, exchange.failure)
        return respond_failure(exchange, Failure(FAILURE_NO_ENDPOINTS, "No endpoints available"))
    if not endpoint.reserve(exchange.plane.settings.max_conns):
        # Another worker was faster: it is at its limit now, so the next look passes it over.
        exchange.attempt -= 1
        return begin_attempt(exchange)
    exchange.endpoint = endpoint
    if exchange.plane.logs_debug:
        exchange.log(LOG_DEBUG, "backend", {**described_destination(exchange), "attempt": exchange.attempt})
    exchange.dial_started_ns = exchange.dialled_ns = exchange.secured_ns = 0
    exchange.is_resent = False
    exchange.is_counted = True
    exchange.plane.counters[COUNTER_ATTEMPTS] += 1
    exchange.plane.counters[COUNTERS_NAMED + endpoint.component_row] += 1
    if not exchange.wants_websocket:
        exchange.arm(exchange.plane.attempts)
    return send_attempt(exchange)


cdef int send_attempt(Exchange exchange, bint is_turn=False) except -1:
    """Send on an idle connection, or dial when there is none: a new client, when many come, in its turn."""
    cdef ConnectionPool pool = exchange.endpoint.connection_pool()
    cdef BackendConnection connection = pool.acquire()
    while connection is not None and connection.has_ended():
        connection.close()
        connection = pool.acquire()
    exchange.waits_to_dial = False
    if connection is None:
        if exchange.is_first:
            if not is_turn and not exchange.plane.turns.may_dial():
                return exchange.plane.turns.add_dial(exchange)
            exchange.plane.turns.last_dial_ns = monotonic_ns()
        connection = BackendConnection(exchange.plane, exchange.endpoint)
        connection.exchange = exchange
        exchange.backend = connection
        exchange.plane.counters[COUNTER_DIALS] += 1
        connection.dial()
    else:
        connection.exchange = exchange
        exchange.backend = connection
        exchange.send_request()
    return 0


cdef int on_attempt_failed(Exchange exchange, Failure failure, bint was_reused, bint got_bytes) except -1:
    """An attempt ended before a response head; whatever ended it, the request is not left waiting (spec 4.2, handler 1)."""
    try:
        retry_or_respond(exchange, failure, was_reused, got_bytes)
    except Exception as error:
        respond_panic(exchange, error)
    return 0


cdef int retry_or_respond(Exchange exchange, Failure failure, bint was_reused, bint got_bytes) except -1:
    """Try again where it is safe, else respond (spec 5.4)."""
    cdef Endpoint endpoint = exchange.endpoint
    cdef int max_attempts = exchange.plane.settings.max_attempts
    cdef bint is_lost = failure.kind == FAILURE_EOF or failure.kind == FAILURE_RESET
    if is_lost and was_reused and exchange.is_replayable() and not got_bytes:
        # A kept connection that was already dead: the same attempt goes on over another one (spec 5.4).
        exchange.is_resent = True
        return send_attempt(exchange)
    exchange.release_count()
    if failure.kind == FAILURE_TOO_MANY_HEADERS:
        # To Gorouter this attempt has succeeded, but its response is not to be had.
        exchange.failure = failure
        log_failed_attempt(exchange, was_reused)
        return respond_failure(exchange, failure)
    exchange.failed_attempts += 1
    exchange.last_failed_ns = monotonic_ns()
    if exchange.is_replayable() and not got_bytes and (failure.kind == FAILURE_EOF or (is_lost and exchange.is_resent)):
        # Of a backend that dies, the kept connections end first and the one dialled in their place is reset.
        failure.kind = FAILURE_IDEMPOTENT_EOF
    exchange.failure = failure
    # Body bytes that were sent are gone: nobody else could get them.
    failure.is_retriable = failure.row().retriable and not (
        exchange.was_head_sent and exchange.request_framing != FRAMING_NONE
    )
    log_failed_attempt(exchange, was_reused)
    if endpoint.is_route_service:
        max_attempts = exchange.plane.settings.route_services.max_attempts
    else:
        mark_endpoint(exchange, failure)
    if not failure.is_retriable or exchange.attempt >= max_attempts:
        return respond_failure(exchange, failure)
    if exchange.tried is None:
        exchange.tried = set()
    exchange.tried.add(endpoint.address_bytes)
    exchange.local_address = None
    return begin_attempt(exchange)


cdef int give_up_attempt(Exchange exchange) except -1:
    """The client has left before a response: the attempt under way is over, and no endpoint is marked (spec 5.10)."""
    cdef BackendConnection backend = exchange.backend
    cdef bint was_reused = backend is not None and backend.was_used
    exchange.failure = Failure(FAILURE_CLIENT_GONE, "context canceled")
    exchange.failed_attempts += 1
    exchange.last_failed_ns = monotonic_ns()
    exchange.was_head_sent = exchange.is_head_sent
    log_failed_attempt(exchange, was_reused)
    if is_body_cut(exchange):
        exchange.plane.log(
            LOG_ERROR, "gateway-error-and-original-request-context-cancelled", {"error": cause_of_cancelling(exchange)}
        )
    return respond_failure(exchange, exchange.failure)


cdef int mark_endpoint(Exchange exchange, Failure failure) except -1:
    """Remove or mark the endpoint that failed, if it is still there (spec 5.2.4)."""
    cdef EndpointPool pool = exchange.pool
    cdef Endpoint endpoint = exchange.endpoint
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
            (<Endpoint>pool.endpoints[at]).failed_at_ns[0] = monotonic_ns()
    return 0


cdef int log_endpoint(str message, Exchange exchange) except -1:
    """Log what becomes of the endpoint that failed. As in Gorouter the table knows nothing of requests and their traces."""
    if exchange.plane.table_log is not None:
        exchange.plane.table_log(LOG_ERROR, message, described_destination(exchange))
    return 0


cdef int log_failed_attempt(Exchange exchange, bint was_reused) except -1:
    cdef bint is_crowded = exchange.failure.kind == FAILURE_TOO_MANY_HEADERS
    if exchange.endpoint.is_route_service:
        return log_attempt(
            exchange, "route-service-too-many-response-headers" if is_crowded else "route-service-connection-failed",
            was_reused,
        )
    return log_attempt(
        exchange, "backend-too-many-response-headers" if is_crowded else "backend-endpoint-failed", was_reused
    )


cdef int log_attempt(Exchange exchange, str message, bint was_reused) except -1:
    """Log a failed attempt with everything Gorouter says of one (spec 5.1)."""
    cdef str error = exchange.failure.text
    if exchange.plane.event_log is None:
        return 0
    # Gorouter logs the error in the wrapping its classifier gave it; the client gets it bare.
    if exchange.failure.kind == FAILURE_CLIENT_GONE:
        error = f"{error} ({cause_of_cancelling(exchange)})"
    else:
        if exchange.failure.kind == FAILURE_IDEMPOTENT_EOF or (error == "EOF" and exchange.is_replayable()):
            error = f"{error} (via idempotent request)"
        if not exchange.was_head_sent:
            error = f"incomplete request ({error})"
    return exchange.log(LOG_ERROR, message, {
        **described_destination(exchange),
        **described_attempt(exchange, was_reused, exchange.was_head_sent),
        "error": error,
        "retriable": exchange.failure.is_retriable,
    })
