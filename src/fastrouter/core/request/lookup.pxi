# Lookup: from Host and path to the pool of a route, or of one instance of it (handler 15).

cdef bint look_up(Exchange exchange, Head head) except -1:
    cdef Request request = exchange.request
    if request.host.length == 0 or (
        exchange.plane.settings.refuses_client_ip
        and is_client_ip(exchange, PyBytes_AS_STRING(request.head) + request.host.start)
    ):
        exchange.plane.counters[COUNTER_REJECTED_REQUESTS] += 1
        respond_error(exchange, 400, b"empty_host", b"Cache-Control: public,max-age=2\r\n", b"Request had empty Host header")
        return False
    if head.value_of(HEADER_X_CF_APP_INSTANCE).length or head.value_of(HEADER_X_CF_PROCESS_INSTANCE).length:
        return look_up_instance(exchange, head)
    find_route(exchange)
    if exchange.round_trip.pool is None or not exchange.round_trip.pool.endpoints:
        return respond_unknown_route(exchange, 404, b"Requested route ('%s') does not exist.")
    return check_connection_limit(exchange)


cdef bint lacks_route(Exchange exchange, Head head) except -1:
    """Whether there is no route yet for what the handlers will look up. If there is one, they need not look again."""
    cdef EndpointPool pool
    if (
        exchange.request.minor > 1 or exchange.request.host.length == 0 or asks_for_health(exchange)
        or head.value_of(HEADER_X_CF_APP_INSTANCE).length or head.value_of(HEADER_X_CF_PROCESS_INSTANCE).length
    ):
        # It may get its response without a lookup.
        return False
    pool = find_pool(exchange, False)
    if pool is None or PyList_GET_SIZE(pool.endpoints) == 0:
        return True
    exchange.round_trip.go_to(pool)
    return False


cdef inline int find_route(Exchange exchange) except -1:
    """Look the route up, unless `lacks_route` has found it: each lookup is counted."""
    if exchange.round_trip.pool is None:
        exchange.round_trip.go_to(find_pool(exchange))
    return 0


cdef EndpointPool find_pool(Exchange exchange, bint is_final=True):
    """The pool of the route that the request goes to, or None."""
    cdef Request request = exchange.request
    cdef const char* base = PyBytes_AS_STRING(request.head)
    return exchange.plane.find(
        base + request.host.start, request.host.length, base + request.path.start, request.path.length, is_final
    )


cdef bint check_connection_limit(Exchange exchange) except -1:
    """Respond when every endpoint serves as many requests as it may."""
    if exchange.round_trip.pool.has_room(exchange.plane.settings):
        return True
    respond_at_limit(exchange)
    return False


cdef int respond_at_limit(Exchange exchange) except -1:
    """503: there are endpoints, but each of them serves as many requests as it may."""
    cdef bytes host = exchange.request.host_text()
    exchange.plane.counters[COUNTER_BACKEND_EXHAUSTED_CONNS] += 1
    exchange.log(LOG_INFO, "connection-limit-reached", {"host": host.decode("latin-1")})
    return respond_error(
        exchange, 503, b"Connection Limit Reached", b"",
        b"Requested route ('%s') has reached the connection limit." % host,
    )


cdef int respond_drained(Exchange exchange) except -1:
    """503: every endpoint is draining, and none of them is the one that the request wants."""
    cdef bytes host = exchange.request.host_text()
    exchange.log(LOG_INFO, "all-endpoints-draining", {"host": host.decode("latin-1")})
    return respond_no_endpoints(exchange, host)


cdef bint is_client_ip(Exchange exchange, const char* host) noexcept:
    """Whether Host and client address are equal up to their first colon.

    An IPv6 literal in Host is cut to "[" then, and so is an IPv6 client: a quirk of Gorouter's (spec 4.2).
    """
    cdef Request request = exchange.request
    cdef const char* ip = PyBytes_AS_STRING(exchange.client.identity.ip)
    cdef Py_ssize_t ip_length = PyBytes_GET_SIZE(exchange.client.identity.ip)
    cdef const char* cut = <const char*>memchr(host, c":", request.host.length)
    cdef Py_ssize_t length = request.host.length if cut == NULL else cut - host
    if memchr(ip, c":", ip_length) != NULL:
        return length == 1 and host[0] == c"["
    return length == ip_length and memcmp(host, ip, length) == 0


cdef Py_ssize_t QUOTED_HOST_MAX = 1024


cdef bint respond_unknown_route(Exchange exchange, int status, bytes message) except -1:
    """No pool, or nothing left in it. `message` has one %s for the Host as sent. Always False."""
    cdef Request request = exchange.request
    cdef const char* base = PyBytes_AS_STRING(request.head)
    # One that is too long for any route is not repeated at length.
    cdef bytes host = base[request.host.start : request.host.start + min(request.host.length, QUOTED_HOST_MAX)]
    if exchange.round_trip.pool is not None and exchange.plane.settings.empty_pool_503:
        respond_no_endpoints(exchange, host)
    else:
        exchange.plane.counters[COUNTER_REJECTED_REQUESTS] += 1
        respond_error(exchange, status, b"unknown_route", b"Cache-Control: no-cache, no-store\r\n", message % host)
    return False


cdef int respond_no_endpoints(Exchange exchange, bytes host) except -1:
    return respond_error(
        exchange, 503, b"no_endpoints", b"Cache-Control: public,max-age=2\r\n",
        b"Requested route ('%s') has no available endpoints." % host,
    )


# Bytes of a GUID, a colon and an index.
cdef Py_ssize_t INSTANCE_NAME_MAX = 64
cdef object APP_INSTANCE = re_compile(rb"([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}):(\d+)")
cdef object PROCESS_INSTANCE = re_compile(rb"([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?::(\d+))?")

cdef bint look_up_instance(Exchange exchange, Head head) except -1:
    """X-CF-App-Instance and X-CF-Process-Instance: only the named instances of the route may serve (spec 3.8)."""
    cdef EndpointPool pool, named
    cdef Endpoint endpoint
    cdef list chosen = []
    cdef bytes guid, index
    cdef str process_id
    cdef object app = None
    cdef object process = None
    cdef bytes message = b""
    if head.value_of(HEADER_X_CF_APP_INSTANCE).length:
        app = instance_match(APP_INSTANCE, head.text_of(HEADER_X_CF_APP_INSTANCE))
        if app is None:
            return respond_bad_instance(
                exchange, "app", head.text_of(HEADER_X_CF_APP_INSTANCE), b"invalid_cf_app_instance_header", b"X-CF-App-Instance"
            )
        message = b"Requested instance ('%s') with guid ('%s') does not exist for route ('%%s')" % (app[2], app[1])
    if head.value_of(HEADER_X_CF_PROCESS_INSTANCE).length:
        process = instance_match(PROCESS_INSTANCE, head.text_of(HEADER_X_CF_PROCESS_INSTANCE))
        if process is None:
            return respond_bad_instance(
                exchange, "process", head.text_of(HEADER_X_CF_PROCESS_INSTANCE),
                b"invalid_cf_process_instance_header", b"X-CF-Process-Instance",
            )
        if process[2] is None:
            message = b"Requested instance with process guid ('%s') does not exist for route ('%%s')" % process[1]
        else:
            message = b"Requested instance ('%s') with process guid ('%s') does not exist for route ('%%s')" % (
                process[2], process[1]
            )
    find_route(exchange)
    pool = exchange.round_trip.pool
    if pool is not None:
        guid, index = (process if app is None else app).groups()
        process_id = guid.decode("ascii")
        for endpoint in pool.endpoints:
            if app is not None:
                if endpoint.has_text(endpoint.app, guid) and endpoint.has_text(endpoint.index, index):
                    # Of several matches Gorouter keeps the last (spec 3.8).
                    chosen = [endpoint]
            elif endpoint.process_id == process_id and (index is None or endpoint.has_text(endpoint.index, index)):
                chosen.append(endpoint)
    if not chosen:
        if pool is not None and pool.endpoints:
            exchange.round_trip.narrow_to(None)
        return respond_unknown_route(exchange, 400, message)
    # Thrown away with the request: marks and prunes of it never reach the real pool.
    named = EndpointPool(pool.name, chosen)
    named.route_service_url = pool.route_service_url
    named.algorithm = pool.algorithm
    named.latency_row = pool.latency_row
    named.is_thrown_away = True
    exchange.round_trip.narrow_to(named)
    return check_connection_limit(exchange)


cdef object instance_match(object pattern, bytes text):
    """A match of the whole `text`; None if it names no instance, or is longer than the name of any."""
    return pattern.fullmatch(text) if PyBytes_GET_SIZE(text) <= INSTANCE_NAME_MAX else None


cdef bint respond_bad_instance(Exchange exchange, str kind, bytes value, bytes router_error, bytes name) except -1:
    exchange.plane.counters[COUNTER_REJECTED_REQUESTS] += 1
    exchange.log(LOG_ERROR, f"invalid-{kind}-instance-header", {
        "error": f"Incorrect {name.decode().upper()} header : {value.decode('utf-8', 'replace')}",
    })
    respond_error(
        exchange, 400, router_error, b"Cache-Control: no-cache, no-store\r\n", b"Invalid %s Header" % name
    )
    return False
