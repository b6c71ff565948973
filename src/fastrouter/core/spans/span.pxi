# Span: a request as OpenTelemetry has it (opentelemetry/proto/trace/v1/trace.proto, semantic conventions for HTTP servers).

# Methods that are told by name; any other is `_OTHER`, so that clients make up no names of spans.
cdef frozenset SPAN_METHODS = frozenset((
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
))


cdef int put_span(Exchange exchange) except -1:
    """Append the span of a request that is over and has one, as a field of `ScopeSpans`."""
    cdef Request request = exchange.request
    cdef Response response = exchange.response
    cdef const char* head = PyBytes_AS_STRING(request.head)
    cdef const char* ids = PyBytes_AS_STRING(request.span)
    cdef bint has_parent = PyBytes_GET_SIZE(request.span) > SPAN_PARENT_ID
    cdef bytes method = head[request.method.start : request.method.start + request.method.length]
    cdef bint is_known = method in SPAN_METHODS
    cdef EndpointPool route = exchange.round_trip.route
    cdef Py_ssize_t begun = begin_field(2)
    cdef Py_ssize_t begun_name
    put_hex_field(1, ids + SPAN_TRACE_ID, 16)
    put_hex_field(2, ids + SPAN_ID, 8)
    if has_parent:
        put_hex_field(4, ids + SPAN_PARENT_ID, 8)
    begun_name = begin_field(5)
    put_bytes(method if is_known else b"HTTP")
    if route is not None:
        put_byte(c" ")
        put_plain(PyBytes_AS_STRING(route.name), PyBytes_GET_SIZE(route.name))
    end_field(begun_name)
    put_number_field(6, SPAN_KIND_SERVER)
    put_fixed64_field(7, <uint64_t>request.received_wall_ns)
    put_fixed64_field(8, <uint64_t>(request.received_wall_ns + exchange.finished_ns - request.received_ns))
    if is_known:
        put_text_attribute(b"http.request.method", PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method))
    else:
        put_text_attribute(b"http.request.method", b"_OTHER", 6)
        put_text_attribute(b"http.request.method_original", PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method))
    put_request_attributes(request, exchange.client.identity)
    put_response_attributes(exchange)
    # Of a trace that is sampled; whether the parent is of another process is known, and it is if there is one.
    put_fixed32_field(16, 0x301 if has_parent else 0x101)
    end_field(begun)
    return 0


cdef void put_request_attributes(Request request, ClientIdentity identity) noexcept:
    """Append what was asked for, and by whom. Of the target only the path is told, because queries hold secrets."""
    cdef const char* head = PyBytes_AS_STRING(request.head)
    cdef const char* path = head + request.path.start
    cdef const char* query = <const char*>memchr(path, c"?", request.path.length)
    cdef const char* forwarded = head + request.forwarded_for.start
    cdef const char* comma = <const char*>memchr(forwarded, c",", request.forwarded_for.length)
    cdef const char* protocol = b"2" if request.is_http2 else b"1.1" if request.minor else b"1.0"
    put_text_attribute(b"url.scheme", b"https" if identity.is_tls else b"http", 5 if identity.is_tls else 4)
    put_text_attribute(b"url.path", path, request.path.length if query == NULL else query - path)
    put_server_attributes(head + request.host.start, request.host.length)
    put_text_attribute(b"network.peer.address", PyBytes_AS_STRING(identity.ip), PyBytes_GET_SIZE(identity.ip))
    if request.forwarded_for.length:
        put_text_attribute(b"client.address", forwarded, request.forwarded_for.length if comma == NULL else comma - forwarded)
    else:
        put_text_attribute(b"client.address", PyBytes_AS_STRING(identity.ip), PyBytes_GET_SIZE(identity.ip))
    put_text_attribute(b"network.protocol.version", protocol, strlen(protocol))
    if request.user_agent.length:
        put_text_attribute(b"user_agent.original", head + request.user_agent.start, request.user_agent.length)
    put_number_attribute(b"http.request.body.size", request.bytes_received)


cdef void put_server_attributes(const char* host, Py_ssize_t length) noexcept:
    """Append the host that was asked for, and its port, if it is named."""
    cdef Py_ssize_t end = length
    cdef int64_t port = 0
    while end and c"0" <= host[end - 1] <= c"9":
        end -= 1
    if 0 < end < length and length - end <= 5 and host[end - 1] == c":":
        for i in range(end, length):
            port = 10 * port + host[i] - c"0"
        put_text_attribute(b"server.address", host, end - 1)
        put_number_attribute(b"server.port", port)
    else:
        put_text_attribute(b"server.address", host, length)


cdef int put_response_attributes(Exchange exchange) except -1:
    """Append who has served the request, how, and whether that is an error."""
    cdef Response response = exchange.response
    cdef RoundTrip trip = exchange.round_trip
    cdef Endpoint endpoint = logged_endpoint(exchange)
    cdef const char* texts
    cdef bytes error
    cdef Py_ssize_t begun
    if trip.route is not None:
        put_text_attribute(b"fastrouter.route", PyBytes_AS_STRING(trip.route.name), PyBytes_GET_SIZE(trip.route.name))
    if endpoint is not None:
        texts = PyBytes_AS_STRING(endpoint.headers)
        put_text_attribute(
            b"fastrouter.endpoint", PyBytes_AS_STRING(endpoint.address_bytes), PyBytes_GET_SIZE(endpoint.address_bytes)
        )
        if endpoint.app.length:
            put_text_attribute(b"cloudfoundry.app.id", texts + endpoint.app.start, endpoint.app.length)
        if endpoint.index.length:
            put_text_attribute(b"cloudfoundry.app.instance.id", texts + endpoint.index.start, endpoint.index.length)
    if trip.failed_attempts:
        put_number_attribute(b"fastrouter.failed_attempts", trip.failed_attempts)
    if response.status:
        put_number_attribute(b"http.response.status_code", response.status)
    put_number_attribute(b"http.response.body.size", response.bytes_sent)
    if response.status >= 500 or response.is_broken_off:
        error = response.router_error or str(response.status).encode("ascii")
        put_text_attribute(b"error.type", PyBytes_AS_STRING(error), PyBytes_GET_SIZE(error))
        begun = begin_field(15)
        put_number_field(3, SPAN_STATUS_ERROR)
        end_field(begun)
    return 0


# --- attributes: `KeyValue` messages. `name` is a C literal.

cdef void put_text_attribute(const char* name, const char* text, Py_ssize_t length) noexcept:
    cdef Py_ssize_t begun = begin_field(9)
    cdef Py_ssize_t begun_value, begun_text
    put_sized_field(1, name, strlen(name))
    begun_value = begin_field(2)
    begun_text = begin_field(1)
    put_plain(text, length)
    end_field(begun_text)
    end_field(begun_value)
    end_field(begun)


cdef void put_number_attribute(const char* name, int64_t number) noexcept:
    cdef Py_ssize_t begun = begin_field(9)
    cdef Py_ssize_t begun_value
    put_sized_field(1, name, strlen(name))
    begun_value = begin_field(2)
    put_number_field(3, <uint64_t>number)
    end_field(begun_value)
    end_field(begun)


cdef void put_plain(const char* text, Py_ssize_t length) noexcept:
    """Append up to SPAN_TEXT_MAX bytes of a text; what is not printable ASCII is escaped as in a URL.

    A collector refuses all spans that come together if one of them has a text that is no UTF-8.
    """
    cdef Py_ssize_t i
    for i in range(min(length, SPAN_TEXT_MAX)):
        if c" " <= text[i] <= c"~":
            put_byte(text[i])
        else:
            put_byte(c"%")
            put_byte((<const char*>b"0123456789ABCDEF")[<unsigned char>text[i] >> 4])
            put_byte((<const char*>b"0123456789ABCDEF")[<unsigned char>text[i] & 15])


cdef void put_hex_field(int field, const char* digits, int size) noexcept:
    """Append `size` bytes, given as twice as many hexadecimal digits."""
    cdef char raw[16]
    cdef int i
    for i in range(size):
        raw[i] = <char>(hex_digit(<unsigned char>digits[2 * i]) << 4 | hex_digit(<unsigned char>digits[2 * i + 1]))
    put_sized_field(field, raw, size)
