# AccessLog: one line per exchange, byte for byte as Gorouter writes it (spec 6.2), gathered into batches of whole lines.

cdef class AccessLog:
    """Renders lines into a batch and hands batches to `sink` (bytes ending in a newline), which must neither block nor raise."""

    def __cinit__(self, sink not None):
        self.sink = sink
        self.capacity = 2 * ACCESS_BATCH
        self.batch = <char*>malloc(self.capacity)
        if self.batch == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.batch)

    def flush(self):
        """Hand over what has gathered."""
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

    cdef int record(self, Exchange exchange) except -1:
        """Append the line of a finished exchange."""
        cdef const char* head = PyBytes_AS_STRING(exchange.head)
        cdef int64_t now = exchange.finished_ns
        cdef int64_t total = now - exchange.received_ns
        cdef int64_t proxied = 0
        cdef Py_ssize_t error_size = 0
        cdef Slice whole
        cdef char* out
        if exchange.router_error is not None:
            error_size = PyBytes_GET_SIZE(exchange.router_error)
        # Quoting makes at most four bytes of one (\xNN); everything quoted here comes out of the head or the error.
        # An endpoint's texts are bounded at registration and need no escape but for `"` and `\\`.
        self.reserve(4 * (PyBytes_GET_SIZE(exchange.head) + error_size) + ACCESS_LINE_FIXED)
        out = self.batch + self.size
        out = put(out, head + exchange.host.start, exchange.host.length)
        out = put_text(out, b" - [")
        out = put_local_time(out, exchange.received_wall_ns)
        out = put_text(out, b"] \"")
        out = put_escaped(out, head + exchange.method.start, exchange.method.length)
        out = put_text(out, b" ")
        if exchange.path.length:
            out = put_escaped(out, head + exchange.path.start, exchange.path.length)
        else:
            out = put_text(out, b"/")
        out = put_text(out, b" HTTP/1.1\" " if exchange.minor else b" HTTP/1.0\" ")
        if exchange.status:
            out = put_decimal(out, exchange.status)
        else:
            out = put_text(out, b"\"-\"")
        out = put_text(out, b" ")
        out = put_decimal(out, exchange.bytes_received)
        out = put_text(out, b" ")
        out = put_decimal(out, exchange.bytes_sent)
        out = put_text(out, b" ")
        out = put_quoted(out, head, exchange.referer)
        out = put_text(out, b" ")
        out = put_quoted(out, head, exchange.user_agent)
        out = put_text(out, b" \"")
        out = put_bytes(out, exchange.client_address)
        out = put_text(out, b"\" \"")
        if exchange.endpoint is not None and not exchange.endpoint.is_route_service:
            out = put_bytes(out, exchange.endpoint.address_bytes)
        else:
            out = put_text(out, b"-")
        out = put_text(out, b"\" x_forwarded_for:")
        if exchange.prepared is not None and exchange.sent_forwarded_for.length:
            out = put_quoted(out, PyBytes_AS_STRING(exchange.prepared), exchange.sent_forwarded_for)
        else:
            out = put_quoted(out, head, exchange.forwarded_for)
        out = put_text(out, b" x_forwarded_proto:")
        if exchange.is_proto_set:
            out = put_text(out, b"\"https\"" if exchange.is_proto_https else b"\"http\"")
        else:
            out = put_quoted(out, head, exchange.forwarded_proto)
        out = put_text(out, b" vcap_request_id:\"")
        out = put(out, exchange.request_id, 36)
        out = put_text(out, b"\" response_time:")
        out = put_seconds(out, total)
        out = put_text(out, b" gorouter_time:")
        if exchange.endpoint is not None and exchange.proxy_started_ns:
            proxied = now - exchange.proxy_started_ns
            out = put_seconds(out, total - proxied)
        else:
            out = put_text(out, b"0.000000")
        if exchange.endpoint is not None:
            head = PyBytes_AS_STRING(exchange.endpoint.headers)
            out = put_quoted(put_text(out, b" app_id:"), head, exchange.endpoint.app)
            out = put_quoted(put_text(out, b" app_index:"), head, exchange.endpoint.index)
            out = put_quoted(put_text(out, b" instance_id:"), head, exchange.endpoint.instance)
        else:
            out = put_text(out, b" app_id:\"-\" app_index:\"-\" instance_id:\"-\"")
        out = put_text(out, b" x_cf_routererror:")
        if error_size:
            whole.start = 0
            whole.length = <uint32_t>error_size
            out = put_quoted(out, PyBytes_AS_STRING(exchange.router_error), whole)
        else:
            out = put_text(out, b"\"-\"")
        out[0] = c"\n"
        self.size = out + 1 - self.batch
        if self.size >= ACCESS_BATCH:
            self.flush()
        return 0


# --- times --------------------------------------------------------------------------------------------------------------

cdef int64_t _local_second = -1
cdef char _local_text[20]

cdef char* put_local_time(char* out, int64_t at_ns) noexcept:
    """`2025-04-01T10:00:00.123456789Z`: process-local time with a literal Z (spec 6.2). The second's text is kept."""
    global _local_second
    cdef time_t second = at_ns // 1000000000
    cdef tm parts
    cdef char* text
    if second != _local_second:
        localtime_r(&second, &parts)
        text = put_padded(_local_text, parts.tm_year + 1900, 4)
        text = put_padded(put_text(text, b"-"), parts.tm_mon + 1, 2)
        text = put_padded(put_text(text, b"-"), parts.tm_mday, 2)
        text = put_padded(put_text(text, b"T"), parts.tm_hour, 2)
        text = put_padded(put_text(text, b":"), parts.tm_min, 2)
        text = put_padded(put_text(text, b":"), parts.tm_sec, 2)
        put_text(text, b".")
        _local_second = second
    out = put(out, _local_text, 20)
    out = put_padded(out, at_ns % 1000000000, 9)
    return put_text(out, b"Z")


cdef int64_t _date_second = -1
cdef bytes _date_line = b""

cdef bytes date_line():
    """`Date: Sun, 06 Nov 1994 08:49:37 GMT` with its line end, made once a second."""
    global _date_second, _date_line
    cdef int64_t second = wall_ns() // 1000000000
    if second != _date_second:
        _date_line = b"Date: " + formatdate(second, usegmt=True).encode("ascii") + b"\r\n"
        _date_second = second
    return _date_line


# --- Go's string quoting ---------------------------------------------------------------------------------------------------

cdef char* put_escaped(char* out, const char* text, Py_ssize_t length) except NULL:
    """Append `text` as it stands between the quotes of a Go string literal (strconv.Quote)."""
    cdef Py_ssize_t i
    cdef unsigned char byte
    for i in range(length):
        byte = <unsigned char>text[i]
        if byte < 32 or byte >= 127 or byte == c"\"" or byte == c"\\":
            return put_bytes(out, _go_escaped(text[:length]))
    return put(out, text, length)


cdef inline char* put_quoted(char* out, const char* base, Slice text) except NULL:
    """Append a quoted field; an empty one is a dash."""
    if text.length == 0:
        return put_text(out, b"\"-\"")
    out[0] = c"\""
    out = put_escaped(out + 1, base + text.start, text.length)
    out[0] = c"\""
    return out + 1


cdef dict _GO_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\",
}

cdef bytes _go_escaped(bytes text):
    cdef list parts = []
    cdef int code
    # surrogateescape leaves every byte that is no UTF-8 as a lone surrogate U+DC80..U+DCFF.
    for character in text.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if character in _GO_ESCAPES:
            parts.append(_GO_ESCAPES[character])
        elif 0xDC80 <= code <= 0xDCFF:
            parts.append("\\x%02x" % (code - 0xDC00))
        elif character.isprintable():
            parts.append(character)
        elif code < 32 or code == 127:
            parts.append("\\x%02x" % code)
        elif code < 0x10000:
            parts.append("\\u%04x" % code)
        else:
            parts.append("\\U%08x" % code)
    return "".join(parts).encode("utf-8")
