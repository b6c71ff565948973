# Tracing: the ids of a request's trace, taken over from the client's headers or made anew, and sent on (spec 4.2).
#
# Gorouter puts a span of its own in front of the app's, which nobody ever sees. Where the router is to propagate only, headers
# stay as they are, and their ids are those of the log.

# A longer tracestate is ignored.
cdef Py_ssize_t TRACESTATE_MAX = 2048


cdef int trace_zipkin(Exchange exchange, Head head) except -1:
    """Adopt the trace of a `b3` header or of X-B3 headers, or begin one and tell the backend in both ways."""
    cdef Slice b3 = head.value_of(HEADER_B3)
    if b3.length:
        if exchange.plane.logs_debug:
            exchange.plane.log(LOG_DEBUG, "b3-header-exists", {"b3": head.text_of(HEADER_B3).decode("utf-8", "replace")})
        if adopt_b3(&exchange.request.trace, head.base + b3.start, b3.length):
            return 0
        exchange.plane.log(LOG_ERROR, "failed-to-parse-single-header", {"error": "not a b3 header"})
    if head.value_of(HEADER_X_B3_TRACEID).length and head.value_of(HEADER_X_B3_SPANID).length:
        return adopt_b3_headers(exchange, head)
    if exchange.plane.settings.propagates_only:
        return 0
    name_trace(&exchange.request.trace)
    set_header(exchange, head, HEADER_X_B3_TRACEID, exchange.request.trace.id, exchange.request.trace.id_length)
    set_header(exchange, head, HEADER_X_B3_SPANID, exchange.request.trace.span_id, 16)
    begin_message()
    put_b3_ids(&exchange.request.trace)
    return set_header(exchange, head, HEADER_B3, _message + 1, end_message() - 1)


cdef bint adopt_b3(Trace* ids, const char* text, Py_ssize_t length) noexcept:
    """A `b3` header: `trace-span`, `trace-span-flag`, `trace-span-flag-parent`, or a flag. False: it is none of these."""
    cdef char trace[32]
    cdef char span[16]
    cdef char parent[16]
    cdef Py_ssize_t digits = 32 if length > 32 and text[32] == c"-" else 16
    cdef Py_ssize_t rest = length - digits - 17
    cdef const char* behind = text + length - rest
    if length == 1 and is_b3_flag(text[0]):
        # It names no ids, which Gorouter reads as zeros.
        adopt_zipkin_ids(ids, ZEROS, ZEROS)
        return True
    if rest != 0 and rest != 2 and rest != 19:
        return False
    if not read_hex(trace, 32, text, digits) or text[digits] != c"-" or not read_hex(span, 16, text + digits + 1, 16):
        return False
    if rest and (behind[0] != c"-" or not is_b3_flag(behind[1])):
        return False
    if rest == 19 and (behind[2] != c"-" or not read_hex(parent, 16, behind + 3, 16)):
        return False
    adopt_zipkin_ids(ids, trace, span)
    return True


cdef inline bint is_b3_flag(char flag) noexcept:
    return flag == c"0" or flag == c"1" or flag == c"d"


cdef int adopt_b3_headers(Exchange exchange, Head head) except -1:
    """X-B3-TraceId and X-B3-SpanId are there: say the same in one `b3` header, unless one of the five is no good."""
    cdef char trace[32]
    cdef char span[16]
    cdef char parent[16]
    cdef bint has_parent = head.value_of(HEADER_X_B3_PARENTSPANID).length > 0
    cdef bint is_sampled = head.value_is(HEADER_X_B3_SAMPLED, b"1") or head.value_is(HEADER_X_B3_SAMPLED, b"true")
    cdef bint is_skipped = head.value_is(HEADER_X_B3_SAMPLED, b"0") or head.value_is(HEADER_X_B3_SAMPLED, b"false")
    cdef str bad = None
    if head.value_of(HEADER_X_B3_SAMPLED).length and not is_sampled and not is_skipped:
        bad = "X-B3-Sampled"
    elif not read_hex_field(trace, 32, head, HEADER_X_B3_TRACEID):
        bad = "X-B3-TraceId"
    elif not read_hex_field(span, 16, head, HEADER_X_B3_SPANID):
        bad = "X-B3-SpanId"
    elif has_parent and not read_hex_field(parent, 16, head, HEADER_X_B3_PARENTSPANID):
        bad = "X-B3-ParentSpanId"
    if bad is not None:
        return exchange.plane.log(LOG_INFO, "failed-to-parse-b3-trace-id", {"error": f"invalid {bad} header"})
    if exchange.plane.logs_debug:
        exchange.plane.log(LOG_DEBUG, "b3-trace-id-span-id-header-exists", {
            "trace-id": head.text_of(HEADER_X_B3_TRACEID).decode("utf-8", "replace"),
            "span-id": head.text_of(HEADER_X_B3_SPANID).decode("utf-8", "replace"),
        })
    adopt_zipkin_ids(&exchange.request.trace, trace, span)
    if exchange.plane.settings.propagates_only:
        return 0
    begin_message()
    if memcmp(trace, ZEROS, 32) != 0 and memcmp(span, ZEROS, 16) != 0:
        put_b3_ids(&exchange.request.trace)
    if head.value_is(HEADER_X_B3_FLAGS, b"1"):
        put_text(b"-d")
    elif is_sampled:
        put_text(b"-1")
    elif is_skipped:
        put_text(b"-0")
    if has_parent:
        put_byte(c"-")
        put(parent, 16)
    # Without its first dash, if there is one.
    return set_header(exchange, head, HEADER_B3, _message + 1, max(end_message() - 1, 0))


cdef void adopt_zipkin_ids(Trace* ids, const char* trace, const char* span) noexcept:
    """Ids of 32 and 16 digits. Of a trace id Zipkin leaves out the upper half where that is zero."""
    if memcmp(trace, ZEROS, 16) == 0:
        adopt_ids(ids, trace + 16, 16, span)
    else:
        adopt_ids(ids, trace, 32, span)


cdef void adopt_ids(Trace* ids, const char* trace, Py_ssize_t length, const char* span) noexcept:
    ids.id_length = length
    memcpy(ids.id, trace, length)
    memcpy(ids.span_id, span, 16)


cdef void put_b3_ids(const Trace* trace) noexcept:
    put_byte(c"-")
    put(trace.id, trace.id_length)
    put_byte(c"-")
    put(trace.span_id, 16)


cdef int trace_w3c(Exchange exchange, Head head) except -1:
    """Go on with the trace of `traceparent` under a new parent id, or tell of the request's own trace.

    The parent id that is sent on is that of the request's span, if requests have spans and the trace is sampled.
    """
    cdef bytes key = exchange.plane.settings.tracestate_key
    cdef Spans spans = exchange.plane.spans
    cdef Slice previous = head.value_of(HEADER_TRACESTATE)
    cdef char trace[32]
    cdef char flags[2]
    cdef char parent[16]
    cdef char received[16]
    cdef bint has_parent
    cdef bint goes_on = read_traceparent(trace, parent, flags, head)
    if exchange.plane.settings.propagates_only:
        if goes_on and exchange.request.trace.id_length == 0:
            adopt_ids(&exchange.request.trace, trace, 32, parent)
        return 0
    has_parent = goes_on
    if goes_on:
        memcpy(received, parent, 16)
        write_hex_bytes(parent, random_bytes(8), 8)
        if exchange.request.trace.id_length == 0:
            adopt_ids(&exchange.request.trace, trace, 32, parent)
    else:
        # Of a `b3` header, which has named the client's span.
        has_parent = exchange.request.trace.id_length > 0
        name_trace(&exchange.request.trace)
        memcpy(trace, ZEROS, 32)
        memcpy(trace + 32 - exchange.request.trace.id_length, exchange.request.trace.id, exchange.request.trace.id_length)
        memcpy(parent, exchange.request.trace.span_id, 16)
        memcpy(flags, <const char*>b"01", 2)
        if spans is not None:
            if has_parent:
                memcpy(received, parent, 16)
                write_hex_bytes(parent, random_bytes(8), 8)
            if not spans.samples(trace):
                flags[1] = c"0"
    # Ids of zeros are none.
    if spans is not None and hex_digit(<unsigned char>flags[1]) & 1 and memcmp(trace, ZEROS, 32) != 0:
        has_parent &= memcmp(received, ZEROS, 16) != 0
        exchange.request.set_span(trace[:32] + parent[:16] + (received[:16] if has_parent else b""))
    begin_message()
    put_text(b"00-")
    put(trace, 32)
    put_byte(c"-")
    put(parent, 16)
    put_byte(c"-")
    put(flags, 2)
    set_header(exchange, head, HEADER_TRACEPARENT, _message, end_message())

    begin_message()
    put_bytes(key)
    put_byte(c"=")
    put(parent, 16)
    if goes_on and previous.length <= TRACESTATE_MAX:
        put_tracestate(head.base + previous.start, previous.length, key)
    return set_header(exchange, head, HEADER_TRACESTATE, _message, end_message())


cdef bint read_traceparent(char* trace, char* parent, char* flags, Head head) noexcept:
    """Trace id, parent id and flags of a `traceparent`. What stands where the dashes belong is not looked at, as in Gorouter."""
    cdef Slice value = head.value_of(HEADER_TRACEPARENT)
    cdef const char* text = head.base + value.start
    cdef char version[2]
    return (
        value.length == 55 and read_hex(version, 2, text, 2) and read_hex(trace, 32, text + 3, 32)
        and read_hex(parent, 16, text + 36, 16) and read_hex(flags, 2, text + 53, 2)
    )


cdef void put_tracestate(const char* text, Py_ssize_t length, bytes key) noexcept:
    """Append what others have entered, each entry with a comma in front."""
    cdef uint32_t own = <uint32_t>PyBytes_GET_SIZE(key)
    cdef Py_ssize_t at = 0
    cdef Slice entry
    cdef const char* start
    while next_token(text, length, &at, &entry):
        start = text + entry.start
        if memchr(start, c"=", entry.length) == NULL:
            continue
        if entry.length > own and start[own] == c"=" and equals_bytes(start, own, key):
            continue
        put_byte(c",")
        put(start, entry.length)


cdef int set_request_id(Trace* trace) except -1:
    """X-Vcap-Request-Id: the trace id with dashes if it has the digits for that, else a random one."""
    cdef const char* digits = trace.id
    cdef char* id = trace.request_id
    if id[0]:
        # The ids of the trace were made of it.
        return 0
    if trace.id_length != 32:
        return make_uuid4(id)
    memcpy(id, digits, 8)
    memcpy(id + 9, digits + 8, 4)
    memcpy(id + 14, digits + 12, 4)
    memcpy(id + 19, digits + 16, 4)
    memcpy(id + 24, digits + 20, 12)
    id[8] = id[13] = id[18] = id[23] = c"-"
    return 0


cdef int name_trace(Trace* trace) except -1:
    """Give the request trace ids if it has none: those of its request id, which is made now if it must be."""
    cdef const char* id = trace.request_id
    cdef char* digits = trace.id
    if trace.id_length == 0:
        if id[0] == 0:
            make_uuid4(trace.request_id)
        memcpy(digits, id, 8)
        memcpy(digits + 8, id + 9, 4)
        memcpy(digits + 12, id + 14, 4)
        memcpy(digits + 16, id + 19, 4)
        memcpy(digits + 20, id + 24, 12)
        trace.id_length = 32
        memcpy(trace.span_id, digits + 16, 16)
    return 0


# As many digits as an id can have.
cdef const char* ZEROS = b"00000000000000000000000000000000"

cdef bint read_hex(char* into, Py_ssize_t width, const char* text, Py_ssize_t length) noexcept:
    """Read a hexadecimal number as `width` lower-case digits, zeros in front. False: it is none, or takes more."""
    cdef Py_ssize_t i
    if length == 0:
        return False
    while length > width:
        if text[0] != c"0":
            return False
        text += 1
        length -= 1
    memcpy(into, ZEROS, width - length)
    into += width - length
    for i in range(length):
        if not is_hex(text[i]):
            return False
        into[i] = text[i] | 32
    return True


cdef bint read_hex_field(char* into, Py_ssize_t width, Head head, int kind) noexcept:
    cdef Slice value = head.value_of(kind)
    return read_hex(into, width, head.base + value.start, value.length)
