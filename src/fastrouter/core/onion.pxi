# The onion: Gorouter's handlers over one Exchange, called in Gorouter's order from one place (spec 4.1).
#
# A handler returns True to let the request go on, False when it has answered it.

cdef int serve(Exchange exchange, Head head) except -1:
    """Take a judged request through the handlers and into its first attempt."""
    set_request_id(exchange)                                    #  6 X-Vcap-Request-Id
    if not look_up(exchange):                                   # 15 lookup
        return 0
    if not check_request_size(exchange, head):                  # 16 max request size
        return 0
    head.drop_hop_by_hop()                                      #    hop-by-hop headers never leave (spec 4.4)
    set_forwarded_proto(exchange, head)                         # 19 X-Forwarded-Proto
    prepare_request(exchange, head)                             # 22 reverse proxy
    exchange.tripper.attempt(exchange)                          #    round tripper
    return 0


cdef int set_request_id(Exchange exchange) except -1:
    return make_uuid4(exchange.request_id)


cdef bint look_up(Exchange exchange) except -1:
    cdef const char* head = PyBytes_AS_STRING(exchange.head)
    cdef const char* host = head + exchange.host.start
    cdef const char* cut = <const char*>memchr(host, c":", exchange.host.length)
    cdef Py_ssize_t length = exchange.host.length if cut == NULL else cut - host
    cdef bytes client_ip = exchange.client_ip
    # Both are cut at their first colon, so an IPv6 literal meets an IPv6 client as "[" (a quirk of Gorouter's, spec 4.2).
    cdef Py_ssize_t ip_length = PyBytes_GET_SIZE(client_ip)
    if exchange.host.length == 0 or (
        length == ip_length and memcmp(host, PyBytes_AS_STRING(client_ip), length) == 0
    ) or (length == 1 and host[0] == c"[" and memchr(PyBytes_AS_STRING(client_ip), c":", ip_length) != NULL):
        respond_error(exchange, 400, b"empty_host", b"Cache-Control: public,max-age=2\r\n", b"Request had empty Host header")
        return False
    exchange.pool = exchange.tripper.table.find(
        host, exchange.host.length, head + exchange.path.start, exchange.path.length
    )
    if exchange.pool is None or not exchange.pool.endpoints:
        respond_error(
            exchange, 404, b"unknown_route", b"Cache-Control: no-cache, no-store\r\n",
            b"Requested route ('%s') does not exist." % host[:exchange.host.length],
        )
        return False
    return True


cdef bint check_request_size(Exchange exchange, Head head) except -1:
    """431 for a head over the limits; an endpoint is chosen only so that the log line names the app (spec 4.2)."""
    cdef Settings settings = exchange.tripper.settings
    cdef Py_ssize_t size = head.method.length + head.target.length + 8 + 4 + exchange.host.length + 8
    cdef int i
    for i in range(head.count):
        if head.fields[i].kind != HEADER_HOST:
            size += head.fields[i].name.length + head.fields[i].value.length + 4
    # Go keeps the host apart from the other headers, so it does not count.
    if (
        size < settings.max_request_head and not head.is_crowded
        and head.count - head.seen[HEADER_HOST] <= settings.max_request_headers
    ):
        return True
    exchange.endpoint = exchange.pool.select(exchange)
    respond(exchange, 431, b"X-Cf-Routererror: max-request-size-exceeded\r\n", b"")
    exchange.router_error = b"max-request-size-exceeded"
    exchange.finish()
    return False


cdef int set_forwarded_proto(Exchange exchange, Head head) except -1:
    exchange.is_proto_set = head.value_of(HEADER_X_FORWARDED_PROTO).length == 0
    return 0


cdef int prepare_request(Exchange exchange, Head head) except -1:
    """Render the outgoing head once, up to the headers that depend on the endpoint (spec 4.4)."""
    cdef const char* base = head.base
    cdef Field* field
    cdef Slice value
    cdef char* start
    cdef char* out
    cdef int i
    out = start = scratch_reserve(2 * head.length + 1024)
    out = put(out, base, head.method.length)
    out = put_text(out, b" ")
    out = put(out, base + head.target.start, head.target.length)
    out = put_text(out, b" HTTP/1.1\r\nHost: ")
    out = put(out, base + exchange.host.start, exchange.host.length)
    out = put_text(out, b"\r\n")
    for i in range(head.count):
        field = &head.fields[i]
        if field.is_dropped:
            continue
        if HEADER_HOST <= field.kind <= HEADER_X_CF_INSTANCEINDEX:
            # Rendered by the router itself, here or per attempt.
            if field.kind == HEADER_X_FORWARDED_PROTO:
                if exchange.is_proto_set:
                    continue
            elif field.kind != HEADER_X_REQUEST_START:
                continue
        out = put_canonical(out, base + field.name.start, field.name.length)
        out = put_text(out, b": ")
        out = put(out, base + field.value.start, field.value.length)
        out = put_text(out, b"\r\n")

    out = put_text(out, b"X-Forwarded-For: ")
    exchange.sent_forwarded_for.start = <uint32_t>(out - start)
    for i in range(head.count):
        field = &head.fields[i]
        if field.kind == HEADER_X_FORWARDED_FOR and not field.is_dropped:
            out = put(out, base + field.value.start, field.value.length)
            out = put_text(out, b", ")
    out = put_bytes(out, exchange.client_ip)
    exchange.sent_forwarded_for.length = <uint32_t>(out - start - exchange.sent_forwarded_for.start)
    out = put_text(out, b"\r\n")

    # The router sets these before hop-by-hop headers are taken off, so `Connection` may name them away (spec 4.4).
    if exchange.is_proto_set and not head.is_dropped(HEADER_X_FORWARDED_PROTO):
        out = put_text(out, b"X-Forwarded-Proto: http\r\n")
    if not head.has(HEADER_X_REQUEST_START) and not head.is_dropped(HEADER_X_REQUEST_START):
        out = put_text(out, b"X-Request-Start: ")
        out = put_decimal(out, exchange.received_wall_ns // 1000000)
        out = put_text(out, b"\r\n")
    if not head.is_dropped(HEADER_X_VCAP_REQUEST_ID):
        out = put_text(out, b"X-Vcap-Request-Id: ")
        out = put(out, exchange.request_id, 36)
        out = put_text(out, b"\r\n")
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
    return 0
