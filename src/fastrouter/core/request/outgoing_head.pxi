# Outgoing head: what a backend is sent of a request, rendered once (handler 22).

cdef int prepare_request(Exchange exchange, Head head) except -1:
    """Render the outgoing head once, up to the headers that depend on the endpoint (spec 4.4)."""
    cdef Request request = exchange.request
    cdef const char* base = head.base
    cdef Field* field
    cdef Slice value, sent_forwarded_for
    cdef bint lacks_scheme = False
    cdef char* start
    cdef char* out
    cdef int i
    cdef bytes target = None
    cdef bytes host = None
    cdef Py_ssize_t extra = changed_size(exchange)
    cdef Settings settings = exchange.plane.settings
    if PyBytes_GET_SIZE(settings.trace_key) and exchange.round_trip.service is None:
        request.set_traced(head.text_of(HEADER_X_VCAP_TRACE) == settings.trace_key)
    if exchange.round_trip.service is not None:
        target = exchange.round_trip.service.target
        host = exchange.round_trip.service.authority
        extra += PyBytes_GET_SIZE(target) + PyBytes_GET_SIZE(host)
    elif head.target.length > 1 and base[head.target.start] == c"/" and base[head.target.start + 1] == c"/":
        lacks_scheme = True
        target = absolute_target(exchange, base[head.target.start : head.target.start + head.target.length])
        extra += PyBytes_GET_SIZE(target)
    elif request.path.start > head.target.start and base[request.host.start - 1] == c"@":
        # Who is who is between client and proxy, and no part of a URI that goes on (RFC 9110 section 4.2.4).
        target = (
            base[head.target.start : request.host.start].partition(b"://")[0] + b"://"
            + base[request.host.start : request.path.start + request.path.length]
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
        out = put(out, base + request.host.start, request.host.length)
    else:
        out = put_bytes(out, host)
    out = put_text(out, b"\r\n")
    out = head.put_fields(out, _own_of_requests)

    out = put_text(out, b"X-Forwarded-For: ")
    sent_forwarded_for.start = <uint32_t>(out - start)
    for i in range(head.count):
        field = &head.fields[i]
        if field.kind == HEADER_X_FORWARDED_FOR and not field.is_dropped:
            out = put(out, base + field.value.start, field.value.length)
            out = put_text(out, b", ")
    out = put_bytes(out, exchange.client.identity.ip)
    sent_forwarded_for.length = <uint32_t>(out - start - sent_forwarded_for.start)
    out = put_text(out, b"\r\n")

    # The router sets these before hop-by-hop headers are taken off, so `Connection` may name them away (spec 4.4).
    if request.is_proto_set and not head.is_dropped(HEADER_X_FORWARDED_PROTO):
        out = put_text(
            out, b"X-Forwarded-Proto: https\r\n" if request.is_proto_https else b"X-Forwarded-Proto: http\r\n"
        )
    if not head.has(HEADER_X_REQUEST_START) and not head.is_dropped(HEADER_X_REQUEST_START):
        out = put_text(out, b"X-Request-Start: ")
        out = put_decimal(out, request.received_wall_ns // 1000000)
        out = put_text(out, b"\r\n")
    # Not this one: every request has an id, as in Gorouter, where a new one takes the place of one that was named away.
    out = put_text(out, b"X-Vcap-Request-Id: ")
    out = put(out, request.trace.request_id, 36)
    out = put_text(out, b"\r\n")
    if request.changed is not None:
        out = put_changed_headers(out, exchange, head)
    if head.has_token(HEADER_TE, b"trailers"):
        out = put_text(out, b"Te: trailers\r\n")

    if request.framing == FRAMING_LENGTH:
        out = put_text(out, b"Content-Length: ")
        out = put_decimal(out, head.content_length())
        out = put_text(out, b"\r\n")
    elif request.framing == FRAMING_CHUNKED:
        if head.has(HEADER_TRAILER):
            value = head.value_of(HEADER_TRAILER)
            out = put_text(out, b"Trailer: ")
            out = put(out, base + value.start, value.length)
            out = put_text(out, b"\r\n")
        out = put_text(out, b"Transfer-Encoding: chunked\r\n")
    elif request.sends_zero_length:
        out = put_text(out, b"Content-Length: 0\r\n")

    if request.wants_upgrade:
        value = request.upgrade
        out = put_text(out, b"Connection: Upgrade\r\nUpgrade: ")
        out = put(out, base + value.start, value.length)
        out = put_text(out, b"\r\n")
    elif request.closes_backend:
        out = put_text(out, b"Connection: close\r\n")
    request.set_prepared(scratch_take(out), sent_forwarded_for, lacks_scheme)
    if head.has(HEADER_CONNECTION):
        request.forget_named(head)
    return 0


cdef char* render_request(Exchange exchange) except NULL:
    """The whole head, for the endpoint of the attempt under way, in the scratch buffer; returns its end."""
    cdef Request request = exchange.request
    cdef Endpoint endpoint = exchange.round_trip.endpoint
    cdef bytes prepared = request.prepared
    cdef bytes identity = endpoint.headers
    cdef char* out
    if request.lacks_scheme:
        prepared = prepared[: request.method.length + 1] + (b"https:" if endpoint.tls else b"http:") + (
            prepared[request.method.length + 1 :]
        )
    out = scratch_reserve(PyBytes_GET_SIZE(prepared) + PyBytes_GET_SIZE(identity) + 2)
    out = put_bytes(out, prepared)
    out = put_bytes(out, identity)
    return put_text(out, b"\r\n")


cdef bytes absolute_target(Exchange exchange, bytes target):
    """A target that begins with `//` in absolute form, or backends would take its path for a host (spec 4.4).

    The scheme is that of the endpoint, so it is put in front at the last moment.
    """
    cdef Request request = exchange.request
    cdef bytes host = request.host_text()
    path, _, query = target.partition(b"?")
    return b"//" + host + requoted_path(path) + sorted_query(query)
