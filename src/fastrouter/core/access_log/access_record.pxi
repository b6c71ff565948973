# AccessLog: one line per exchange, byte for byte as Gorouter writes it (spec 6.2) or as a JSON object, gathered into batches of
# whole lines.

# Optional fields of a line, by FIELD_* (spec 6.2).
cdef tuple EXTRA_FIELDS = (
    "failed_attempts", "failed_attempts_time", "dns_time", "dial_time", "tls_time", "backend_time", "local_address",
    "caller_cf_app", "caller_cf_org", "caller_cf_space", "route_policy", "tls_sni",
)
cdef tuple _extra_labels = tuple([f" {name}:".encode() for name in EXTRA_FIELDS])
cdef tuple _extra_keys = tuple([f',"{name}":'.encode() for name in EXTRA_FIELDS])
cdef tuple REDACTIONS = ("none", "all", "hash")


cdef class AccessLog:
    """Renders lines into a batch and hands batches to `sink` (bytes ending in a newline), which must neither block nor raise."""

    def __init__(self, sink not None, *, bint is_json=False, bint has_whole=False, bint logs_refused=False, extra_fields=(),
                 extra_headers=(), bint hides_forwarded_for=False, bint hides_source=False, str redaction="none"):
        self.sink = sink
        self.is_json = is_json
        self.has_whole = has_whole
        self.logs_refused = logs_refused
        self.hides_forwarded_for = hides_forwarded_for
        self.hides_source = hides_source
        self.redaction = REDACTIONS.index(_one_of("redaction", redaction, REDACTIONS))
        self.extra_fields = bytes([EXTRA_FIELDS.index(name) for name in dict.fromkeys(extra_fields) if name in EXTRA_FIELDS])
        self.extra_headers = [LoggedHeader(name) for name in dict.fromkeys([name.lower() for name in extra_headers])]

    def __dealloc__(self):
        free(self.batch.start)

    def flush(self):
        """Hand the batch to the sink."""
        cdef bytes lines
        if self.size:
            lines = PyBytes_FromStringAndSize(self.batch.start, self.size)
            self.size = 0
            self.sink(lines)

    cdef int record(self, Exchange exchange) except -1:
        """Append the line of a finished exchange."""
        swap_memory(&self.batch)
        if self.size:
            resume_message(self.size)
        else:
            begin_message()
        try:
            self.put_record(exchange)
            put_text(b"}\n" if self.is_json else b"\n")
            self.size = end_message()
        finally:
            # A fault costs its own line and no other.
            drop_message()
            swap_memory(&self.batch)
        if self.size >= ACCESS_BATCH:
            self.flush()
        return 0

    cdef int put_record(self, Exchange exchange) except -1:
        """Append a line without its end."""
        if self.is_json:
            put_request_json(self, exchange)
        else:
            put_request_text(self, exchange)
        return self._put_named(exchange)

    cdef int put_bounded_record(self, Exchange exchange) except -1:
        """Append a line without its end that fits into an envelope (spec 6.3).

        The limits of fields hold for every line, or, if there is another log with the whole of it, for long lines only.
        """
        cdef Py_ssize_t begun = message_size()
        self.is_bounded = not self.has_whole
        self.put_record(exchange)
        if self.has_whole and message_size() - begun > WHOLE_RECORD_MAX:
            cut_message(begun)
            self.is_bounded = True
            self.put_record(exchange)
        return 0

    cdef int _put_named(self, Exchange exchange) except -1:
        """The fields that have names in both formats."""
        cdef Request request = exchange.request
        cdef bint is_json = self.is_json
        cdef const char* head = PyBytes_AS_STRING(request.head)
        cdef Endpoint endpoint = logged_endpoint(exchange)
        cdef int64_t total = exchange.finished_ns - request.received_ns
        cdef int64_t proxied = 0
        cdef bytes error = exchange.response.router_error
        cdef char field
        put_name(is_json, b',"x_forwarded_for":', b" x_forwarded_for:")
        if self.hides_forwarded_for:
            put_nothing(is_json)
        elif request.prepared is not None and request.sent_forwarded_for.length:
            put_bounded(self, PyBytes_AS_STRING(request.prepared), request.sent_forwarded_for, b"X-FORWARDED-FOR")
        else:
            put_bounded(self, head, request.forwarded_for, b"X-FORWARDED-FOR")
        put_name(is_json, b',"x_forwarded_proto":', b" x_forwarded_proto:")
        if request.is_proto_set:
            put_set_proto(exchange)
        else:
            put_bounded(self, head, request.forwarded_proto, b"X-FORWARDED-PROTO")
        put_name(is_json, b',"vcap_request_id":', b" vcap_request_id:")
        put_request_id(is_json, exchange)
        put_name(is_json, b',"response_time":', b" response_time:")
        put_duration(is_json, total)
        put_name(is_json, b',"gorouter_time":', b" gorouter_time:")
        if exchange.round_trip.endpoint is None or request.prepared is None:
            # A visit to a route service has a time, too, although it has no endpoint to show. A request whose head is too large
            # has an endpoint, but was not sent to it.
            put_text(b"0.000000")
        else:
            if exchange.round_trip.started_ns:
                proxied = exchange.finished_ns - exchange.round_trip.started_ns
            put_duration(is_json, total - proxied)
        put_name(is_json, b',"app_id":', b" app_id:")
        put_endpoint_field(is_json, endpoint, 0)
        put_name(is_json, b',"app_index":', b" app_index:")
        put_endpoint_field(is_json, endpoint, 1)
        put_name(is_json, b',"instance_id":', b" instance_id:")
        put_endpoint_field(is_json, endpoint, 2)
        for field in self.extra_fields:
            put_extra_field(is_json, field, exchange)
        put_name(is_json, b',"x_cf_routererror":', b" x_cf_routererror:")
        if error is None and request.has_semicolon:
            error = b"deprecated-semicolon-params"
        put_field_bytes(is_json, error)
        if self.extra_headers:
            put_extra_headers(self, exchange)
        return 0


cdef inline Endpoint logged_endpoint(Exchange exchange):
    """The backend of the last attempt; a route service does not count."""
    if exchange.round_trip.endpoint is None or exchange.round_trip.endpoint.is_route_service:
        return None
    return exchange.round_trip.endpoint


cdef inline void put_protocol(Exchange exchange) noexcept:
    if exchange.request.is_http2:
        put_text(b"HTTP/2.0")
    elif exchange.request.refused_protocol is not None:
        put_bytes(exchange.request.refused_protocol)
    else:
        put_text(b"HTTP/1.")
        put_decimal(exchange.request.minor)


cdef inline void put_request_id(bint is_json, Exchange exchange) noexcept:
    if exchange.request.refused_protocol is not None:
        # No handler has set it.
        put_nothing(is_json)
    else:
        put_between(b"\"", exchange.request.trace.request_id, 36, b"\"")


cdef int put_request_text(AccessLog log, Exchange exchange) except -1:
    """The beginning of a line, up to the first field with a name."""
    cdef Request request = exchange.request
    cdef const char* head = PyBytes_AS_STRING(request.head)
    cdef Endpoint endpoint = logged_endpoint(exchange)
    cdef bytes uri
    cdef const char* target
    cdef Py_ssize_t length
    if request.refused_protocol is None or has_only(_is_host, head + request.host.start, request.host.length):
        put(head + request.host.start, min(request.host.length, LOGGED_MAX))
    else:
        put_quoted(head, request.host)
    put_text(b" - [")
    put_local_time(request.received_wall_ns)
    put_text(b"] \"")
    put_escaped(head + request.method.start, request.method.length)
    put_byte(c" ")
    if (
        log.redaction and memchr(head + request.path.start, c"?", request.path.length) != NULL
        and is_word(head, request.method, b"GET")
    ):
        uri = redacted_uri(exchange, log.redaction)
        target = PyBytes_AS_STRING(uri)
        length = PyBytes_GET_SIZE(uri)
    else:
        if request.path.length == 0 or head[request.path.start] == c"?":
            put_byte(c"/")
        target = head + request.path.start
        length = request.path.length
    if log.is_bounded and length > BOUNDED_LONG:
        put_cut(target, length, BOUNDED_LONG, b"REQUEST-URI")
    else:
        put_escaped(target, length)
    put_byte(c" ")
    put_protocol(exchange)
    put_text(b"\" ")
    if exchange.response.status:
        put_decimal(exchange.response.status)
    else:
        put_text(b"\"-\"")
    put_byte(c" ")
    put_decimal(request.bytes_received)
    put_byte(c" ")
    put_decimal(exchange.response.bytes_sent)
    put_byte(c" ")
    put_bounded(log, head, request.referer, b"REFERER")
    put_byte(c" ")
    put_bounded(log, head, request.user_agent, b"USER-AGENT")
    put_text(b" \"")
    put_bytes(b"-" if log.hides_source else exchange.client.identity.address)
    put_text(b"\" \"")
    put_bytes(b"-" if endpoint is None else endpoint.address_bytes)
    put_byte(c"\"")
    return 0


cdef int put_request_json(AccessLog log, Exchange exchange) except -1:
    """The same as the beginning of a JSON object."""
    cdef Request request = exchange.request
    cdef const char* head = PyBytes_AS_STRING(request.head)
    cdef Endpoint endpoint = logged_endpoint(exchange)
    cdef bytes uri = redacted_uri(exchange, log.redaction if is_word(head, request.method, b"GET") else 0)
    put_text(b'{"time":"')
    put_utc_time(request.received_wall_ns)
    put_text(b'","host":')
    put_json_text(head + request.host.start, request.host.length)
    put_text(b',"method":')
    put_json_text(head + request.method.start, request.method.length)
    put_text(b',"uri":')
    put_json_text(PyBytes_AS_STRING(uri), PyBytes_GET_SIZE(uri))
    put_text(b',"protocol":"')
    put_protocol(exchange)
    put_text(b'","status":')
    if exchange.response.status:
        put_decimal(exchange.response.status)
    else:
        put_nothing(True)
    put_text(b',"bytes_received":')
    put_decimal(request.bytes_received)
    put_text(b',"bytes_sent":')
    put_decimal(exchange.response.bytes_sent)
    put_text(b',"referer":')
    put_field(True, head, request.referer)
    put_text(b',"user_agent":')
    put_field(True, head, request.user_agent)
    put_text(b',"remote_addr":')
    put_field_bytes(True, None if log.hides_source else exchange.client.identity.address)
    put_text(b',"backend_addr":')
    return put_field_bytes(True, None if endpoint is None else endpoint.address_bytes)


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
