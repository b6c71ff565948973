# Tracing: the ids of a request's trace, taken over from the client's headers or made anew, and sent on (spec 4.2).

cdef object B3_SINGLE = re_compile(
    rb"[01d]|([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})-([0-9A-Fa-f]{16})(?:-[01d](?:-[0-9A-Fa-f]{16})?)?"
)
cdef object HEX_DIGITS = re_compile(rb"[0-9A-Fa-f]+")
# Lower-cased before. What stands where the dashes belong is not looked at, as in Gorouter.
cdef object TRACEPARENT = re_compile(rb"[0-9a-f]{2}.([0-9a-f]{32}).[0-9a-f]{16}.([0-9a-f]{2})")
# A longer tracestate is as good as none.
cdef Py_ssize_t TRACESTATE_MAX = 2048


cdef int trace_zipkin(Exchange exchange, Head head) except -1:
    """Adopt the trace of a `b3` header or of X-B3 headers, or begin one and tell the backend in both ways."""
    cdef object match
    if head.value_of(HEADER_B3).length:
        match = B3_SINGLE.fullmatch(head.text_of(HEADER_B3))
        if match is not None:
            # A lone sampling flag names no ids, which Gorouter reads as zeros.
            exchange.trace_id = shortest_trace_id(int(match[1] or b"0", 16))
            exchange.span_id = (match[2] or b"0" * 16).lower()
            return 0
        exchange.tripper.tell(LOG_ERROR, "failed-to-parse-single-header", {"error": "not a b3 header"})
    if head.value_of(HEADER_X_B3_TRACEID).length and head.value_of(HEADER_X_B3_SPANID).length:
        return adopt_b3_headers(exchange, head)
    name_trace(exchange)
    set_header(exchange, head, HEADER_X_B3_TRACEID, exchange.trace_id)
    set_header(exchange, head, HEADER_X_B3_SPANID, exchange.span_id)
    return set_header(exchange, head, HEADER_B3, exchange.trace_id + b"-" + exchange.span_id)


cdef int adopt_b3_headers(Exchange exchange, Head head) except -1:
    """X-B3-TraceId and X-B3-SpanId are there: say the same in one `b3` header, unless one of the five is no good."""
    cdef bytes sampled = head.text_of(HEADER_X_B3_SAMPLED).lower()
    cdef object trace = hex_number(head.text_of(HEADER_X_B3_TRACEID), 128)
    cdef object span = hex_number(head.text_of(HEADER_X_B3_SPANID), 64)
    cdef object parent = None
    cdef str bad = None
    cdef list parts = []
    if sampled not in (b"", b"0", b"1", b"false", b"true"):
        bad = "X-B3-Sampled"
    elif trace is None:
        bad = "X-B3-TraceId"
    elif span is None:
        bad = "X-B3-SpanId"
    elif head.value_of(HEADER_X_B3_PARENTSPANID).length:
        parent = hex_number(head.text_of(HEADER_X_B3_PARENTSPANID), 64)
        if parent is None:
            bad = "X-B3-ParentSpanId"
    if bad is not None:
        return exchange.tripper.tell(LOG_INFO, "failed-to-parse-b3-trace-id", {"error": f"invalid {bad} header"})
    exchange.trace_id = shortest_trace_id(trace)
    exchange.span_id = b"%016x" % span
    if trace and span:
        parts = [exchange.trace_id, exchange.span_id]
    if head.value_is(HEADER_X_B3_FLAGS, b"1"):
        parts.append(b"d")
    elif sampled:
        parts.append(b"1" if sampled in (b"1", b"true") else b"0")
    if parent is not None:
        parts.append(b"%016x" % parent)
    return set_header(exchange, head, HEADER_B3, b"-".join(parts))


cdef int trace_w3c(Exchange exchange, Head head) except -1:
    """Go on with the trace of `traceparent` under a new parent id, or tell of the request's own trace."""
    cdef object match = TRACEPARENT.fullmatch(head.text_of(HEADER_TRACEPARENT).strip().lower())
    cdef bytes key = exchange.tripper.settings.tracestate_key
    cdef bytes previous = b""
    cdef bytes entry, parent
    cdef list state
    if match is None:
        name_trace(exchange)
        parent = exchange.span_id
        set_header(exchange, head, HEADER_TRACEPARENT, b"00-%s-%s-01" % (exchange.trace_id.rjust(32, b"0"), parent))
    else:
        parent = random_bytes(8)[:8].hex().encode("ascii")
        set_header(exchange, head, HEADER_TRACEPARENT, b"00-%s-%s-%s" % (match[1], parent, match[2]))
        if exchange.trace_id is None:
            exchange.trace_id = match[1]
            exchange.span_id = parent
        previous = head.text_of(HEADER_TRACESTATE)
    state = [key + b"=" + parent]
    if 0 < len(previous) <= TRACESTATE_MAX:
        for entry in previous.split(b","):
            entry = entry.strip()
            if b"=" in entry and not entry.startswith(key + b"="):
                state.append(entry)
    return set_header(exchange, head, HEADER_TRACESTATE, b",".join(state))


cdef int set_request_id(Exchange exchange) except -1:
    """X-Vcap-Request-Id: the trace id with dashes if it has the digits for that, else a random one."""
    cdef const char* digits
    cdef char* out = exchange.request_id
    cdef int i
    if exchange.trace_id is None or PyBytes_GET_SIZE(exchange.trace_id) != 32:
        return make_uuid4(out)
    digits = PyBytes_AS_STRING(exchange.trace_id)
    for i in range(32):
        if i == 8 or i == 12 or i == 16 or i == 20:
            out[0] = c"-"
            out += 1
        out[0] = digits[i]
        out += 1
    return 0


cdef int name_trace(Exchange exchange) except -1:
    """Give the request trace ids if it has none: those of its request id, which is made now if it must be."""
    cdef bytes digits
    if exchange.trace_id is None:
        if exchange.request_id[0] == 0:
            make_uuid4(exchange.request_id)
        digits = exchange.request_id[:36].replace(b"-", b"")
        exchange.trace_id = digits
        exchange.span_id = digits[16:]
    return 0


cdef bytes shortest_trace_id(object number):
    """A trace id of 128 bits as Zipkin prints it: without its upper half where that is zero."""
    return b"%016x" % number if number.bit_length() <= 64 else b"%032x" % number


cdef object hex_number(bytes text, int bits):
    """The number that `text` is in hexadecimal digits, None if it is none or takes more than `bits`."""
    cdef object number
    if HEX_DIGITS.fullmatch(text) is None:
        return None
    number = int(text, 16)
    return number if number.bit_length() <= bits else None
