# Outgoing head: what a backend is sent of a request, rendered once (handler 22).

cdef int prepare_request(Exchange exchange, Head head) except -1:
    """Render the outgoing head once, up to the headers that depend on the endpoint (spec 4.4)."""
    cdef Request request = exchange.request
    cdef const char* base = head.base
    cdef Field* field
    cdef Slice value, sent_forwarded_for
    cdef bint lacks_scheme = False
    cdef int i
    cdef bytes target = None
    cdef bytes host = None
    cdef Settings settings = exchange.plane.settings
    if PyBytes_GET_SIZE(settings.trace_key) and exchange.round_trip.service is None:
        request.set_traced(head.text_of(HEADER_X_VCAP_TRACE) == settings.trace_key)
    if exchange.round_trip.service is not None:
        target = exchange.round_trip.service.target
        host = exchange.round_trip.service.authority
    elif head.target.length > 1 and base[head.target.start] == c"/" and base[head.target.start + 1] == c"/":
        lacks_scheme = True
        target = absolute_target(exchange, base[head.target.start : head.target.start + head.target.length])
    elif request.path.start > head.target.start and base[request.host.start - 1] == c"@":
        # The user is for the proxy alone, and no part of the URI that is sent on (RFC 9110 section 4.2.4).
        target = (
            base[head.target.start : request.host.start].partition(b"://")[0] + b"://"
            + base[request.host.start : request.path.start + request.path.length]
        )
    begin_message()
    put(base, head.method.length)
    put_text(b" ")
    if target is None:
        put(base + head.target.start, head.target.length)
    else:
        put_bytes(target)
    if host is None:
        put_line(b" HTTP/1.1\r\nHost: ", base + request.host.start, request.host.length)
    else:
        put_line(b" HTTP/1.1\r\nHost: ", PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host))
    head.put_fields(_own_of_requests)

    put_text(b"X-Forwarded-For: ")
    sent_forwarded_for.start = <uint32_t>message_size()
    for i in range(head.count):
        field = &head.fields[i]
        if field.kind == HEADER_X_FORWARDED_FOR and not field.is_dropped:
            put(base + field.value.start, field.value.length)
            put_text(b", ")
    put_bytes(exchange.client.identity.ip)
    sent_forwarded_for.length = <uint32_t>message_size() - sent_forwarded_for.start
    put_text(b"\r\n")

    # The router sets these before hop-by-hop headers are taken off, so `Connection` may name them away (spec 4.4).
    if request.is_proto_set and not head.is_dropped(HEADER_X_FORWARDED_PROTO):
        put_text(b"X-Forwarded-Proto: https\r\n" if request.is_proto_https else b"X-Forwarded-Proto: http\r\n")
    if not head.has(HEADER_X_REQUEST_START) and not head.is_dropped(HEADER_X_REQUEST_START):
        put_text(b"X-Request-Start: ")
        put_decimal(request.received_wall_ns // 1000000)
        put_text(b"\r\n")
    # `Connection` cannot name this one away: every request has an id. Gorouter would make a new one then.
    put_line(b"X-Vcap-Request-Id: ", request.trace.request_id, 36)
    if request.changed is not None:
        put_changed_headers(exchange, head)
    if head.has_token(HEADER_TE, b"trailers"):
        put_text(b"Te: trailers\r\n")

    put_framing(head, request.framing)
    if request.framing == FRAMING_NONE and request.sends_zero_length:
        put_text(b"Content-Length: 0\r\n")

    if request.wants_upgrade:
        value = request.upgrade
        put_line(b"Connection: Upgrade\r\nUpgrade: ", base + value.start, value.length)
    elif request.closes_backend:
        put_text(b"Connection: close\r\n")
    request.set_prepared(take_message(), sent_forwarded_for, lacks_scheme)
    if head.has(HEADER_CONNECTION):
        request.forget_named(head)
    return 0


cdef int render_request(Exchange exchange) except -1:
    """Begin a message with the whole head, for the endpoint of the attempt under way."""
    cdef Request request = exchange.request
    cdef Endpoint endpoint = exchange.round_trip.endpoint
    cdef bytes prepared = request.prepared
    cdef bytes identity = endpoint.headers
    if request.lacks_scheme:
        prepared = prepared[: request.method.length + 1] + (b"https:" if endpoint.tls else b"http:") + (
            prepared[request.method.length + 1 :]
        )
    begin_message()
    put_bytes(prepared)
    put_bytes(identity)
    put_text(b"\r\n")
    return 0


cdef bytes absolute_target(Exchange exchange, bytes target):
    """A target that begins with `//` in absolute form, or backends would take its path for a host (spec 4.4).

    The scheme is that of the endpoint, so it is put in front at the last moment.
    """
    cdef Request request = exchange.request
    cdef bytes host = request.host_text()
    path, _, query = target.partition(b"?")
    return b"//" + host + requoted_path(path) + sorted_query(query)
