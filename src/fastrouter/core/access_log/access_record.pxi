# AccessLog: one line per exchange, byte for byte as Gorouter writes it (spec 6.2) or as a JSON object, gathered into batches of
# whole lines.

# Optional fields of a line, by FIELD_* (spec 6.2).
cdef tuple EXTRA_FIELDS = (
    "failed_attempts", "failed_attempts_time", "dns_time", "dial_time", "tls_time", "backend_time", "local_address",
)
cdef tuple _extra_labels = tuple([f" {name}:".encode() for name in EXTRA_FIELDS])
cdef tuple _extra_keys = tuple([f',"{name}":'.encode() for name in EXTRA_FIELDS])
cdef tuple REDACTIONS = ("none", "all", "hash")


cdef class AccessLog:
    """Renders lines into a batch and hands batches to `sink` (bytes ending in a newline), which must neither block nor raise."""

    def __init__(self, sink not None, *, bint is_json=False, bint logs_refused=False, extra_fields=(), extra_headers=(),
                 bint hides_forwarded_for=False, bint hides_source=False, str redaction="none"):
        self.sink = sink
        self.is_json = is_json
        self.logs_refused = logs_refused
        self.hides_forwarded_for = hides_forwarded_for
        self.hides_source = hides_source
        self.redaction = REDACTIONS.index(_one_of("redaction", redaction, REDACTIONS))
        self.extra_fields = bytes([EXTRA_FIELDS.index(name) for name in dict.fromkeys(extra_fields) if name in EXTRA_FIELDS])
        self.extra_headers = [LoggedHeader(name) for name in dict.fromkeys([name.lower() for name in extra_headers])]
        self.extra_room = sum([(<LoggedHeader>each).size() for each in self.extra_headers])

    def __cinit__(self):
        self.capacity = 2 * ACCESS_BATCH
        self.batch = <char*>malloc(self.capacity)
        if self.batch == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.batch)

    def flush(self):
        """Hand the batch to the sink."""
        cdef bytes lines
        if self.size:
            lines = PyBytes_FromStringAndSize(self.batch, self.size)
            self.size = 0
            if self.capacity > 2 * ACCESS_BATCH:
                free(self.batch)
                self.capacity = 0
                self.batch = <char*>malloc(2 * ACCESS_BATCH)
                if self.batch == NULL:
                    raise MemoryError()
                self.capacity = 2 * ACCESS_BATCH
            self.sink(lines)

    cdef int reserve(self, Py_ssize_t size) except -1:
        cdef char* batch
        if self.size + size > self.capacity:
            batch = <char*>realloc(self.batch, self.size + size)
            if batch == NULL:
                raise MemoryError()
            self.batch = batch
            self.capacity = self.size + size
        return 0

    cdef Py_ssize_t room(self, Exchange exchange) except -1:
        """Bytes that the line of an exchange takes at most."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(exchange.request.head)
        if exchange.response.router_error is not None:
            size += PyBytes_GET_SIZE(exchange.response.router_error)
        if exchange.round_trip.endpoint is not None:
            size += PyBytes_GET_SIZE(exchange.round_trip.endpoint.headers)
        if self.extra_headers:
            # The header fields may be in the line a second time.
            size += PyBytes_GET_SIZE(exchange.request.head) + changed_size(exchange)
        # Fields have a maximum: seven of the request, the router's error, three of the endpoint, and those configured.
        size = min(size, (11 + PyList_GET_SIZE(self.extra_headers)) * (LOGGED_MAX + 8))
        # Escaping turns one byte into four at most (\xNN), in JSON into six (\u00NN).
        return (6 if self.is_json else 4) * size + self.extra_room + ACCESS_LINE_FIXED

    cdef int record(self, Exchange exchange) except -1:
        """Append the line of a finished exchange."""
        cdef char* out
        self.reserve(self.room(exchange))
        out = self.batch + self.size
        if self.is_json:
            out = put_request_json(out, self, exchange)
        else:
            out = put_request_text(out, self, exchange)
        out = self._put_named(out, exchange)
        if self.is_json:
            out = put_text(out, b"}")
        out[0] = c"\n"
        self.size = out + 1 - self.batch
        if self.size >= ACCESS_BATCH:
            self.flush()
        return 0

    cdef char* _put_named(self, char* out, Exchange exchange) except NULL:
        """The fields that have names in both formats."""
        cdef Request request = exchange.request
        cdef bint is_json = self.is_json
        cdef const char* head = PyBytes_AS_STRING(request.head)
        cdef Endpoint endpoint = logged_endpoint(exchange)
        cdef int64_t total = exchange.finished_ns - request.received_ns
        cdef int64_t proxied = 0
        cdef bytes error = exchange.response.router_error
        cdef char field
        out = put_name(out, is_json, b',"x_forwarded_for":', b" x_forwarded_for:")
        if self.hides_forwarded_for:
            out = put_nothing(out, is_json)
        elif request.prepared is not None and request.sent_forwarded_for.length:
            out = put_field(out, is_json, PyBytes_AS_STRING(request.prepared), request.sent_forwarded_for)
        else:
            out = put_field(out, is_json, head, request.forwarded_for)
        out = put_name(out, is_json, b',"x_forwarded_proto":', b" x_forwarded_proto:")
        if request.is_proto_set:
            out = put_text(out, b"\"https\"" if request.is_proto_https else b"\"http\"")
        else:
            out = put_field(out, is_json, head, request.forwarded_proto)
        out = put_name(out, is_json, b',"vcap_request_id":', b" vcap_request_id:")
        out = put_request_id(out, is_json, exchange)
        out = put_name(out, is_json, b',"response_time":', b" response_time:")
        out = put_duration(out, is_json, total)
        out = put_name(out, is_json, b',"gorouter_time":', b" gorouter_time:")
        if exchange.round_trip.endpoint is None or request.prepared is None:
            # A visit to a route service has a time, too, although it has no endpoint to show. A request whose head is too large
            # has an endpoint, but was not sent to it.
            out = put_text(out, b"0.000000")
        else:
            if exchange.round_trip.started_ns:
                proxied = exchange.finished_ns - exchange.round_trip.started_ns
            out = put_duration(out, is_json, total - proxied)
        out = put_name(out, is_json, b',"app_id":', b" app_id:")
        out = put_endpoint_field(out, is_json, endpoint, 0)
        out = put_name(out, is_json, b',"app_index":', b" app_index:")
        out = put_endpoint_field(out, is_json, endpoint, 1)
        out = put_name(out, is_json, b',"instance_id":', b" instance_id:")
        out = put_endpoint_field(out, is_json, endpoint, 2)
        for field in self.extra_fields:
            out = put_extra_field(out, is_json, field, exchange)
        out = put_name(out, is_json, b',"x_cf_routererror":', b" x_cf_routererror:")
        if error is None and request.has_semicolon:
            error = b"deprecated-semicolon-params"
        out = put_field_bytes(out, is_json, error)
        if self.extra_headers:
            out = put_extra_headers(out, self, exchange)
        return out


cdef inline Endpoint logged_endpoint(Exchange exchange):
    """The backend of the last attempt; a route service does not count."""
    if exchange.round_trip.endpoint is None or exchange.round_trip.endpoint.is_route_service:
        return None
    return exchange.round_trip.endpoint


cdef inline char* put_protocol(char* out, Exchange exchange) noexcept:
    if exchange.request.refused_protocol is not None:
        return put_bytes(out, exchange.request.refused_protocol)
    return put_decimal(put_text(out, b"HTTP/1."), exchange.request.minor)


cdef inline char* put_request_id(char* out, bint is_json, Exchange exchange) noexcept:
    if exchange.request.refused_protocol is not None:
        # No handler has set it.
        return put_nothing(out, is_json)
    out = put_text(out, b"\"")
    out = put(out, exchange.request.trace.request_id, 36)
    return put_text(out, b"\"")


cdef char* put_request_text(char* out, AccessLog log, Exchange exchange) except NULL:
    """The beginning of a line, up to the first field with a name."""
    cdef Request request = exchange.request
    cdef const char* head = PyBytes_AS_STRING(request.head)
    cdef Endpoint endpoint = logged_endpoint(exchange)
    cdef bytes uri
    if request.refused_protocol is None or has_only(_is_host, head + request.host.start, request.host.length):
        out = put(out, head + request.host.start, min(request.host.length, LOGGED_MAX))
    else:
        out = put_quoted(out, head, request.host)
    out = put_text(out, b" - [")
    out = put_local_time(out, request.received_wall_ns)
    out = put_text(out, b"] \"")
    out = put_escaped(out, head + request.method.start, request.method.length)
    out = put_text(out, b" ")
    if (
        log.redaction and memchr(head + request.path.start, c"?", request.path.length) != NULL
        and is_word(head, request.method, b"GET")
    ):
        uri = redacted_uri(exchange, log.redaction)
        out = put_escaped(out, PyBytes_AS_STRING(uri), PyBytes_GET_SIZE(uri))
    else:
        if request.path.length == 0 or head[request.path.start] == c"?":
            out = put_text(out, b"/")
        out = put_escaped(out, head + request.path.start, request.path.length)
    out = put_text(put_protocol(put_text(out, b" "), exchange), b"\" ")
    if exchange.response.status:
        out = put_decimal(out, exchange.response.status)
    else:
        out = put_text(out, b"\"-\"")
    out = put_text(out, b" ")
    out = put_decimal(out, request.bytes_received)
    out = put_text(out, b" ")
    out = put_decimal(out, exchange.response.bytes_sent)
    out = put_text(out, b" ")
    out = put_quoted(out, head, request.referer)
    out = put_text(out, b" ")
    out = put_quoted(out, head, request.user_agent)
    out = put_text(out, b" \"")
    out = put_text(out, b"-") if log.hides_source else put_bytes(out, exchange.client.identity.address)
    out = put_text(out, b"\" \"")
    out = put_text(out, b"-") if endpoint is None else put_bytes(out, endpoint.address_bytes)
    return put_text(out, b"\"")


cdef char* put_request_json(char* out, AccessLog log, Exchange exchange) except NULL:
    """The same as the beginning of a JSON object."""
    cdef Request request = exchange.request
    cdef const char* head = PyBytes_AS_STRING(request.head)
    cdef Endpoint endpoint = logged_endpoint(exchange)
    cdef bytes uri = redacted_uri(exchange, log.redaction if is_word(head, request.method, b"GET") else 0)
    out = put_text(out, b'{"time":"')
    out = put_utc_time(out, request.received_wall_ns)
    out = put_text(out, b'","host":')
    out = put_json_text(out, head + request.host.start, request.host.length)
    out = put_text(out, b',"method":')
    out = put_json_text(out, head + request.method.start, request.method.length)
    out = put_text(out, b',"uri":')
    out = put_json_text(out, PyBytes_AS_STRING(uri), PyBytes_GET_SIZE(uri))
    out = put_text(put_protocol(put_text(out, b',"protocol":"'), exchange), b'"')
    out = put_text(out, b',"status":')
    out = put_decimal(out, exchange.response.status) if exchange.response.status else put_nothing(out, True)
    out = put_text(out, b',"bytes_received":')
    out = put_decimal(out, request.bytes_received)
    out = put_text(out, b',"bytes_sent":')
    out = put_decimal(out, exchange.response.bytes_sent)
    out = put_text(out, b',"referer":')
    out = put_field(out, True, head, request.referer)
    out = put_text(out, b',"user_agent":')
    out = put_field(out, True, head, request.user_agent)
    out = put_text(out, b',"remote_addr":')
    out = put_field_bytes(out, True, None if log.hides_source else exchange.client.identity.address)
    out = put_text(out, b',"backend_addr":')
    return put_field_bytes(out, True, None if endpoint is None else endpoint.address_bytes)


cdef bytes redacted_uri(Exchange exchange, int redaction):
    """Path and query; by `redaction` (index of REDACTIONS) without a query, or with its SHA-1 instead (spec 8.12)."""
    cdef Request request = exchange.request
    cdef bytes uri = PyBytes_AS_STRING(request.head)[request.path.start : request.path.start + request.path.length]
    cdef bytes path, mark, query
    if request.path.length == 0 or uri[0] == c"?":
        uri = b"/" + uri
    path, mark, query = uri.partition(b"?")
    if redaction == 0 or not query:
        return uri
    return path if redaction == 1 else path + b"?hash=" + sha1(query).hexdigest().encode("ascii")
