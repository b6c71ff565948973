# The onion: Gorouter's handlers over one Exchange, called in Gorouter's order from one place (spec 4.1).
#
# A handler returns True to let the request go on, False when it has answered it.

cdef int serve(Exchange exchange, Head head) except -1:
    """Take a judged request through the handlers and into its first attempt."""
    try:                                                        #  1 panic check
        if exchange.tripper.settings.traces_zipkin:
            trace_zipkin(exchange, head)                        #  4 Zipkin B3
        if exchange.tripper.settings.traces_w3c:
            trace_w3c(exchange, head)                           #  5 W3C trace context
        set_request_id(exchange)                                #  6 X-Vcap-Request-Id
        if exchange.tripper.tells_debug:
            exchange.tell(LOG_DEBUG, "vcap-request-id-header-set", {"VcapRequestIdHeader": exchange.request_id_text()})
        warn_of_semicolon(exchange, head)                       # 10 query parameters
        if not check_health(exchange):                          # 13 health check by User-Agent
            return 0
        if not check_protocol(exchange):                        # 14 protocol check
            return 0
        # Before the lookup, other than in Gorouter: what is too large is not looked at any closer.
        if not check_request_size(exchange, head):              # 16 max request size
            return 0
        if not look_up(exchange, head):                         # 15 lookup
            return 0
        if not check_client_certificate(exchange, head):        # 17 X-Forwarded-Client-Cert
            return 0
        drop_hop_by_hop(exchange, head)                         # 18 hop-by-hop headers never leave (spec 4.4)
        set_forwarded_proto(exchange, head)                     # 19 X-Forwarded-Proto
        if not visit_route_service(exchange, head):             # 20 route service
            return 0
        prepare_request(exchange, head)                         # 22 reverse proxy
        read_sticky(exchange, head)                             #    round tripper: who should serve,
        if exchange.tripper.tells_debug:
            exchange.pool.tell_of_algorithm(exchange)
        exchange.tripper.attempt(exchange)                      #    and the first attempt
    except Exception as error:
        respond_panic(exchange, error)
    return 0


cdef int warn_of_semicolon(Exchange exchange, Head head) except -1:
    """Go no longer divides parameters there, so Gorouter tells of it, in the access log as a router error."""
    if memchr(head.base + head.target.start, c";", head.target.length) != NULL:
        exchange.has_semicolon = True
        exchange.tell(LOG_WARN, "deprecated-semicolon-params", {"vcap_request_id": exchange.request_id_text()})
    return 0


cdef bint asks_for_health(Exchange exchange) noexcept:
    cdef bytes asks = exchange.tripper.settings.healthcheck_user_agent
    cdef Slice agent = exchange.user_agent
    return agent.length == PyBytes_GET_SIZE(asks) and memcmp(
        PyBytes_AS_STRING(exchange.head) + agent.start, PyBytes_AS_STRING(asks), agent.length
    ) == 0


cdef bint check_health(Exchange exchange) except -1:
    if asks_for_health(exchange):
        answer_health(exchange)
        return False
    return True


cdef bint check_protocol(Exchange exchange) except -1:
    """HTTP/1.2 and later get a line that any HTTP has, not even headers, and no status in the access log (spec 4.2)."""
    if exchange.minor <= 1:
        return True
    exchange.is_response_started = True
    exchange.client.keep_alive = False
    exchange.client.send(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    exchange.finish()
    return False


cdef bint look_up(Exchange exchange, Head head) except -1:
    if exchange.host.length == 0 or (
        exchange.tripper.settings.refuses_client_ip
        and is_client_ip(exchange, PyBytes_AS_STRING(exchange.head) + exchange.host.start)
    ):
        exchange.tripper.counters[COUNTER_REJECTED_REQUESTS] += 1
        respond_error(exchange, 400, b"empty_host", b"Cache-Control: public,max-age=2\r\n", b"Request had empty Host header")
        return False
    if head.value_of(HEADER_X_CF_APP_INSTANCE).length or head.value_of(HEADER_X_CF_PROCESS_INSTANCE).length:
        return look_up_instance(exchange, head)
    if exchange.pool is None:
        exchange.pool = find_pool(exchange)
    if exchange.pool is None or not exchange.pool.endpoints:
        return refuse_unknown_route(exchange, 404, b"Requested route ('%s') does not exist.")
    return check_connection_limit(exchange)


cdef EndpointPool find_pool(Exchange exchange):
    """The pool of the route that the request goes to, or None."""
    cdef const char* base = PyBytes_AS_STRING(exchange.head)
    return exchange.tripper.find(
        base + exchange.host.start, exchange.host.length, base + exchange.path.start, exchange.path.length
    )


cdef bint check_connection_limit(Exchange exchange) except -1:
    """Refuse when every endpoint serves as many requests as it may."""
    if exchange.pool.has_room(exchange.tripper.settings):
        return True
    refuse_for_limit(exchange)
    return False


cdef int refuse_for_limit(Exchange exchange) except -1:
    """503: all that keeps the request from being served is that every endpoint is at its limit."""
    cdef bytes host = PyBytes_AS_STRING(exchange.head)[exchange.host.start : exchange.host.start + exchange.host.length]
    exchange.tripper.counters[COUNTER_BACKEND_EXHAUSTED_CONNS] += 1
    exchange.tell(LOG_INFO, "connection-limit-reached", {"host": host.decode("latin-1")})
    return respond_error(
        exchange, 503, b"Connection Limit Reached", b"",
        b"Requested route ('%s') has reached the connection limit." % host,
    )


cdef bint is_client_ip(Exchange exchange, const char* host) noexcept:
    """Whether Host and client address are equal up to their first colon.

    An IPv6 literal in Host is cut to "[" then, and so is an IPv6 client: a quirk of Gorouter's (spec 4.2).
    """
    cdef const char* ip = PyBytes_AS_STRING(exchange.client.ip)
    cdef Py_ssize_t ip_length = PyBytes_GET_SIZE(exchange.client.ip)
    cdef const char* cut = <const char*>memchr(host, c":", exchange.host.length)
    cdef Py_ssize_t length = exchange.host.length if cut == NULL else cut - host
    if memchr(ip, c":", ip_length) != NULL:
        return length == 1 and host[0] == c"["
    return length == ip_length and memcmp(host, ip, length) == 0


cdef Py_ssize_t ANSWERED_HOST_MAX = 1024


cdef bint refuse_unknown_route(Exchange exchange, int status, bytes message) except -1:
    """No pool, or nothing left in it. `message` has one %s for the Host as sent. Always False."""
    cdef const char* base = PyBytes_AS_STRING(exchange.head)
    # One that is too long for any route is not repeated at length.
    cdef bytes host = base[exchange.host.start : exchange.host.start + min(exchange.host.length, ANSWERED_HOST_MAX)]
    if exchange.pool is not None and exchange.tripper.settings.empty_pool_503:
        respond_error(
            exchange, 503, b"no_endpoints", b"Cache-Control: public,max-age=2\r\n",
            b"Requested route ('%s') has no available endpoints." % host,
        )
    else:
        exchange.tripper.counters[COUNTER_REJECTED_REQUESTS] += 1
        respond_error(exchange, status, b"unknown_route", b"Cache-Control: no-cache, no-store\r\n", message % host)
    return False


# Bytes of a GUID, a colon and an index.
cdef Py_ssize_t INSTANCE_NAME_MAX = 64
cdef object APP_INSTANCE = re_compile(rb"([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}):(\d+)")
cdef object PROCESS_INSTANCE = re_compile(rb"([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?::(\d+))?")

cdef bint look_up_instance(Exchange exchange, Head head) except -1:
    """X-CF-App-Instance and X-CF-Process-Instance: only the named instances of the route may serve (spec 3.8)."""
    cdef EndpointPool pool
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
            return refuse_instance_header(
                exchange, "app", head.text_of(HEADER_X_CF_APP_INSTANCE), b"invalid_cf_app_instance_header", b"X-CF-App-Instance"
            )
        message = b"Requested instance ('%s') with guid ('%s') does not exist for route ('%%s')" % (app[2], app[1])
    if head.value_of(HEADER_X_CF_PROCESS_INSTANCE).length:
        process = instance_match(PROCESS_INSTANCE, head.text_of(HEADER_X_CF_PROCESS_INSTANCE))
        if process is None:
            return refuse_instance_header(
                exchange, "process", head.text_of(HEADER_X_CF_PROCESS_INSTANCE),
                b"invalid_cf_process_instance_header", b"X-CF-Process-Instance",
            )
        if process[2] is None:
            message = b"Requested instance with process guid ('%s') does not exist for route ('%%s')" % process[1]
        else:
            message = b"Requested instance ('%s') with process guid ('%s') does not exist for route ('%%s')" % (
                process[2], process[1]
            )
    pool = exchange.pool = find_pool(exchange)
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
            exchange.pool = None
        return refuse_unknown_route(exchange, 400, message)
    # Thrown away with the request: marks and prunes of it never reach the real pool.
    exchange.pool = EndpointPool(pool.name, chosen)
    exchange.pool.route_service_url = pool.route_service_url
    exchange.pool.algorithm = pool.algorithm
    exchange.pool.latency_row = pool.latency_row
    exchange.pool.is_thrown_away = True
    return check_connection_limit(exchange)


cdef object instance_match(object pattern, bytes text):
    """A match of the whole `text`, None for what names no instance; none that there is has a longer name."""
    return pattern.fullmatch(text) if PyBytes_GET_SIZE(text) <= INSTANCE_NAME_MAX else None


cdef bint refuse_instance_header(Exchange exchange, str kind, bytes value, bytes router_error, bytes name) except -1:
    exchange.tripper.counters[COUNTER_REJECTED_REQUESTS] += 1
    exchange.tell(LOG_ERROR, f"invalid-{kind}-instance-header", {
        "error": f"Incorrect {name.decode().upper()} header : {value.decode('utf-8', 'replace')}",
    })
    respond_error(
        exchange, 400, router_error, b"Cache-Control: no-cache, no-store\r\n", b"Invalid %s Header" % name
    )
    return False


cdef bint check_request_size(Exchange exchange, Head head) except -1:
    """431 for a head over the limits; an endpoint is chosen only so that the log line names the app (spec 4.2)."""
    cdef Settings settings = exchange.tripper.settings
    # What Go counts: method, target and "HTTP/1.1" with four bytes between, Host with its name, every other field.
    cdef Py_ssize_t size = head.method.length + head.target.length + 8 + 4 + exchange.host.length + 8
    cdef Field* field
    cdef ChangedHeaders changed = exchange.changed
    cdef int i
    # The request id, which handler 6 has set whatever the client sent.
    cdef int count = 1
    size += _known_names[HEADER_X_VCAP_REQUEST_ID].length + 36 + 4
    for i in range(head.count):
        field = &head.fields[i]
        # Go keeps the host apart from the other headers, so it does not count.
        if field.kind != HEADER_HOST and field.kind != HEADER_X_VCAP_REQUEST_ID and not field.is_dropped:
            size += field.name.length + field.value.length + 4
            count += 1
    if changed is not None:
        for i in range(CHANGED_KINDS):
            if changed.headers[i].is_sent:
                size += _known_names[FIRST_CHANGED + i].length + changed.headers[i].value.length + 4
                count += 1
    if size < settings.max_request_head and not head.is_crowded and count <= settings.max_request_headers:
        return True
    exchange.pool = find_pool(exchange)
    if exchange.pool is not None:
        if exchange.tripper.tells_debug:
            exchange.pool.tell_of_algorithm(exchange)
        exchange.endpoint = exchange.pool.select(exchange)
    exchange.router_error = b"max-request-size-exceeded"
    respond(exchange, 431, b"X-Cf-Routererror: max-request-size-exceeded\r\n", b"")
    exchange.finish()
    return False


cdef bint check_client_certificate(Exchange exchange, Head head) except -1:
    """Whose word on the client's certificate goes on, and whether a route service's signature holds (spec 4.2, handler 17)."""
    cdef ClientConnection client = exchange.client
    cdef str mode = exchange.tripper.settings.forwarded_client_cert
    cdef bint is_signed = head.value_of(HEADER_X_CF_PROXY_SIGNATURE).length > 0
    cdef bytes certificate
    if head.has(HEADER_X_CF_PROXY_SIGNATURE):
        exchange.is_trusted_return = read_signature(exchange, head)
    if not (exchange.is_trusted_return and client.is_tls):
        if client.peer_certificate is not None:
            if mode == "sanitize_set":
                certificate = b2a_base64(client.peer_certificate, newline=False)
                set_header(
                    exchange, head, HEADER_X_FORWARDED_CLIENT_CERT,
                    PyBytes_AS_STRING(certificate), PyBytes_GET_SIZE(certificate),
                )
        elif head.has(HEADER_X_FORWARDED_CLIENT_CERT) and mode != "always_forward":
            remove_header(exchange, head, HEADER_X_FORWARDED_CLIENT_CERT)
    if is_signed and exchange.pool.route_service_url and exchange.tripper.settings.route_services.signer is not None:
        if not check_return(exchange):
            return False
        if mode == "forward":
            remove_header(exchange, head, HEADER_X_FORWARDED_CLIENT_CERT)
    return True


cdef int drop_hop_by_hop(Exchange exchange, Head head) except -1:
    """Mark what must not go on; `Connection` cannot name the headers an operator protects."""
    cdef Settings settings = exchange.tripper.settings
    if settings.hop_by_hop_filter:
        head.kept_names = settings.hop_by_hop_filter
        if exchange.wants_upgrade and b"upgrade" in settings.hop_by_hop_filter:
            exchange.wants_upgrade = exchange.wants_websocket = False
    return head.drop_hop_by_hop()


cdef int set_forwarded_proto(Exchange exchange, Head head) except -1:
    cdef Settings settings = exchange.tripper.settings
    if exchange.is_trusted_return:
        # What the route service saw first holds on both ways (spec 8.3).
        return 0
    exchange.is_proto_https = settings.forces_proto_https or exchange.client.is_tls
    exchange.is_proto_set = (
        settings.forces_proto_https or settings.sanitizes_proto or head.value_of(HEADER_X_FORWARDED_PROTO).length == 0
    )
    if exchange.is_proto_set:
        head.drop(HEADER_X_FORWARDED_PROTO)
    return 0


cdef int prepare_request(Exchange exchange, Head head) except -1:
    """Render the outgoing head once, up to the headers that depend on the endpoint (spec 4.4)."""
    cdef const char* base = head.base
    cdef Field* field
    cdef Slice value
    cdef char* start
    cdef char* out
    cdef int i
    cdef bytes target = None
    cdef bytes host = None
    cdef Py_ssize_t extra = changed_size(exchange)
    cdef Settings settings = exchange.tripper.settings
    if PyBytes_GET_SIZE(settings.trace_key) and exchange.service is None:
        exchange.is_traced = head.text_of(HEADER_X_VCAP_TRACE) == settings.trace_key
    if exchange.service is not None:
        target = exchange.service.target
        host = exchange.service.authority
        extra += PyBytes_GET_SIZE(target) + PyBytes_GET_SIZE(host)
    elif head.target.length > 1 and base[head.target.start] == c"/" and base[head.target.start + 1] == c"/":
        target = absolute_target(exchange, base[head.target.start : head.target.start + head.target.length])
        extra += PyBytes_GET_SIZE(target)
    elif exchange.path.start > head.target.start and base[exchange.host.start - 1] == c"@":
        # Who is who is between client and proxy, and no part of a URI that goes on (RFC 9110 section 4.2.4).
        target = (
            base[head.target.start : exchange.host.start].partition(b"://")[0] + b"://"
            + base[exchange.host.start : exchange.path.start + exchange.path.length]
        )
    out = start = scratch_reserve(2 * head.length + extra + 1024)
    out = put(out, base, head.method.length)
    out = put_text(out, b" ")
    if target is None:
        out = put(out, base + head.target.start, head.target.length)
    else:
        out = put_bytes(out, target)
    out = put_text(out, b" HTTP/1.1\r\nHost: ")
    if host is None:
        out = put(out, base + exchange.host.start, exchange.host.length)
    else:
        out = put_bytes(out, host)
    out = put_text(out, b"\r\n")
    out = head.put_fields(out, _own_of_requests)

    out = put_text(out, b"X-Forwarded-For: ")
    exchange.sent_forwarded_for.start = <uint32_t>(out - start)
    for i in range(head.count):
        field = &head.fields[i]
        if field.kind == HEADER_X_FORWARDED_FOR and not field.is_dropped:
            out = put(out, base + field.value.start, field.value.length)
            out = put_text(out, b", ")
    out = put_bytes(out, exchange.client.ip)
    exchange.sent_forwarded_for.length = <uint32_t>(out - start - exchange.sent_forwarded_for.start)
    out = put_text(out, b"\r\n")

    # The router sets these before hop-by-hop headers are taken off, so `Connection` may name them away (spec 4.4).
    if exchange.is_proto_set and not head.is_dropped(HEADER_X_FORWARDED_PROTO):
        out = put_text(
            out, b"X-Forwarded-Proto: https\r\n" if exchange.is_proto_https else b"X-Forwarded-Proto: http\r\n"
        )
    if not head.has(HEADER_X_REQUEST_START) and not head.is_dropped(HEADER_X_REQUEST_START):
        out = put_text(out, b"X-Request-Start: ")
        out = put_decimal(out, exchange.received_wall_ns // 1000000)
        out = put_text(out, b"\r\n")
    # Not this one: every request has an id, as in Gorouter, where a new one takes the place of one that was named away.
    out = put_text(out, b"X-Vcap-Request-Id: ")
    out = put(out, exchange.request_id, 36)
    out = put_text(out, b"\r\n")
    if exchange.changed is not None:
        out = put_changed_headers(out, exchange, head)
    if head.has_token(HEADER_TE, b"trailers"):
        out = put_text(out, b"Te: trailers\r\n")

    if exchange.request_framing == FRAMING_LENGTH:
        out = put_text(out, b"Content-Length: ")
        out = put_decimal(out, head.content_length())
        out = put_text(out, b"\r\n")
    elif exchange.request_framing == FRAMING_CHUNKED:
        if head.has(HEADER_TRAILER):
            value = head.value_of(HEADER_TRAILER)
            out = put_text(out, b"Trailer: ")
            out = put(out, base + value.start, value.length)
            out = put_text(out, b"\r\n")
        out = put_text(out, b"Transfer-Encoding: chunked\r\n")
    elif exchange.sends_zero_length:
        out = put_text(out, b"Content-Length: 0\r\n")

    if exchange.wants_upgrade:
        value = exchange.upgrade
        out = put_text(out, b"Connection: Upgrade\r\nUpgrade: ")
        out = put(out, base + value.start, value.length)
        out = put_text(out, b"\r\n")
    elif exchange.closes_backend:
        out = put_text(out, b"Connection: close\r\n")
    exchange.prepared = scratch_take(out)
    if head.has(HEADER_CONNECTION):
        forget_named(exchange, head)
    return 0


cdef int forget_named(Exchange exchange, Head head) except -1:
    """The log line is of the request that went on, so it lacks what `Connection` has named."""
    if head.is_dropped(HEADER_REFERER):
        exchange.referer.length = 0
    if head.is_dropped(HEADER_USER_AGENT):
        exchange.user_agent.length = 0
    if head.is_dropped(HEADER_X_FORWARDED_PROTO):
        exchange.forwarded_proto.length = 0
        exchange.is_proto_set = False
    return 0


cdef bytes absolute_target(Exchange exchange, bytes target):
    """A target that begins with `//` in absolute form, or backends would take its path for a host (spec 4.4).

    The scheme is that of the endpoint, so it is put in front at the last moment.
    """
    cdef const char* base = PyBytes_AS_STRING(exchange.head)
    cdef bytes host = base[exchange.host.start : exchange.host.start + exchange.host.length]
    path, _, query = target.partition(b"?")
    exchange.lacks_scheme = True
    return b"//" + host + requoted_path(path) + sorted_query(query)
