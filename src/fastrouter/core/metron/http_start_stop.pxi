# HttpStartStop: from when to when there was a request, or an attempt at a backend, and what became of it (spec 7.6).

# Methods by their numbers, which begin with 1.
cdef tuple EVENT_METHODS = (
    b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"ACL", b"BASELINE_CONTROL", b"BIND", b"CHECKIN", b"CHECKOUT", b"CONNECT",
    b"COPY", b"DEBUG", b"LABEL", b"LINK", b"LOCK", b"MERGE", b"MKACTIVITY", b"MKCALENDAR", b"MKCOL", b"MKREDIRECTREF",
    b"MKWORKSPACE", b"MOVE", b"OPTIONS", b"ORDERPATCH", b"PATCH", b"PRI", b"PROPFIND", b"PROPPATCH", b"REBIND", b"REPORT",
    b"SEARCH", b"SHOWMETHOD", b"SPACEJUMP", b"TEXTSEARCH", b"TRACE", b"TRACK", b"UNBIND", b"UNCHECKOUT", b"UNLINK", b"UNLOCK",
    b"UPDATE", b"UPDATEREDIRECTREF", b"VERSION_CONTROL",
)
cdef dict _method_numbers = {method: number for number, method in enumerate(EVENT_METHODS, 1)}


cdef int method_number(const char* head, Slice method) except -1:
    """The number of a method, 0 for those that have none."""
    if is_word(head, method, b"GET"):
        return 1
    return _method_numbers.get(head[method.start : method.start + method.length], 0)


# Where the bytes of a UUID stand in its text.
cdef unsigned char[16] UUID_PLACES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]


cdef bint is_uuid(const char* text, Py_ssize_t length) noexcept nogil:
    """Whether this is a UUID in small letters, and of a known version: others have no place in an event."""
    cdef int i
    cdef bint is_one = length == 36 and text[8] == text[13] == text[18] == text[23] == c"-" and c"1" <= text[14] <= c"5"
    if is_one:
        for i in range(16):
            is_one &= is_small_hex(text[UUID_PLACES[i]]) and is_small_hex(text[UUID_PLACES[i] + 1])
    return is_one


cdef inline bint is_small_hex(char digit) noexcept nogil:
    return c"0" <= digit <= c"9" or c"a" <= digit <= c"f"


cdef inline uint64_t uuid_half(const char* text, int half) noexcept nogil:
    """Eight bytes of a UUID as a number, the lowest first."""
    cdef uint64_t number = 0
    cdef const char* digits
    cdef int i
    for i in range(8):
        digits = text + UUID_PLACES[8 * half + i]
        # Letters have bit 6, and begin with 1 where ten is meant.
        number |= <uint64_t>((digits[0] & 15) + 9 * (digits[0] >> 6) << 4 | (digits[1] & 15) + 9 * (digits[1] >> 6)) << (8 * i)
    return number


cdef void put_uuid_field(int field, const char* text) noexcept:
    """Append a UUID, always in 24 bytes: envelopes of one size go through the kernel together."""
    cdef Py_ssize_t begun = begin_field(field)
    put_long_number_field(1, uuid_half(text, 0))
    put_long_number_field(2, uuid_half(text, 1))
    end_field(begun)


cdef void put_path(const char* text, Py_ssize_t length) noexcept:
    """Append the path of a target as Go has it: without its query, and without escapes."""
    cdef const char* query = <const char*>memchr(text, c"?", length)
    cdef Py_ssize_t at = 0
    if query != NULL:
        length = query - text
    if memchr(text, c"%", length) == NULL:
        put(text, length)
        return
    while at < length:
        if text[at] == c"%" and at + 2 < length and is_hex(text[at + 1]) and is_hex(text[at + 2]):
            put_byte(<char>(hex_digit(<unsigned char>text[at + 1]) << 4 | hex_digit(<unsigned char>text[at + 2])))
            at += 3
        else:
            put_byte(text[at])
            at += 1


cdef void put_forwarded(const char* text, Py_ssize_t length) noexcept:
    """Append each address of an `X-Forwarded-For`."""
    cdef const char* comma
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t end, begin, behind
    while start <= length and message_size() <= ENVELOPE_BATCH + ENVELOPE_SIZE_MAX:
        comma = <const char*>memchr(text + start, c",", length - start)
        end = length if comma == NULL else comma - text
        begin = start
        behind = end
        while begin < behind and is_blank(text[begin]):
            begin += 1
        while begin < behind and is_blank(text[behind - 1]):
            behind -= 1
        put_sized_field(15, text + begin, behind - begin)
        start = end + 1


cdef int put_start_stop(Exchange exchange, int peer, int64_t started_wall_ns, int64_t stopped_wall_ns, int status,
                        int64_t length) except -1:
    """Append the event of a request (PEER_SERVER) or of an attempt (PEER_CLIENT), whose response has a body of `length` bytes."""
    cdef Request request = exchange.request
    cdef RouteService service = exchange.round_trip.service if peer == PEER_CLIENT else None
    cdef const char* head = PyBytes_AS_STRING(request.head)
    cdef const char* prepared = NULL if request.prepared is None else PyBytes_AS_STRING(request.prepared)
    cdef Slice forwarded = request.sent_forwarded_for
    cdef const char* comma
    cdef Py_ssize_t begun = begin_field(7)
    cdef Py_ssize_t begun_uri
    put_number_field(1, <uint64_t>started_wall_ns)
    put_number_field(2, <uint64_t>stopped_wall_ns)
    put_uuid_field(3, request.trace.request_id)
    put_number_field(4, peer)
    put_number_field(5, method_number(head, request.method))
    begun_uri = begin_field(6)
    put_text(b"https://" if exchange.client.identity.is_tls else b"http://")
    if service is not None:
        put_bytes(service.authority)
        put_path(PyBytes_AS_STRING(service.target), PyBytes_GET_SIZE(service.target))
    else:
        put(head + request.host.start, request.host.length)
        put_path(head + request.path.start, request.path.length)
    end_field(begun_uri)
    put_bytes_field(7, exchange.client.identity.address)
    put_sized_field(8, head + request.user_agent.start, request.user_agent.length)
    put_number_field(9, status)
    put_number_field(10, <uint64_t>length)
    if peer == PEER_CLIENT:
        if service is None:
            put_instance(exchange.round_trip.endpoint)
        put_forwarded(prepared + forwarded.start, forwarded.length)
    elif prepared != NULL and (comma := <const char*>memrchr(prepared + forwarded.start, c",", forwarded.length)) != NULL:
        # What was received is what was sent, less the client itself.
        put_forwarded(prepared + forwarded.start, comma - prepared - forwarded.start)
    elif request.forwarded_for.length:
        put_forwarded(head + request.forwarded_for.start, request.forwarded_for.length)
    end_field(begun)
    return 0


cdef int put_instance(Endpoint endpoint) except -1:
    """Append which instance of which app an attempt is made at, as the X-CF headers tell it."""
    cdef const char* texts = PyBytes_AS_STRING(endpoint.headers)
    cdef int64_t index = 0
    cdef uint32_t i
    if is_uuid(texts + endpoint.app.start, endpoint.app.length):
        put_uuid_field(12, texts + endpoint.app.start)
    if 0 < endpoint.index.length < 11:
        for i in range(endpoint.index.length):
            if not c"0" <= texts[endpoint.index.start + i] <= c"9":
                break
            index = 10 * index + (texts[endpoint.index.start + i] - c"0")
        else:
            if index < 1 << 31:
                put_number_field(13, <uint64_t>index)
    if endpoint.instance.length:
        put_sized_field(14, texts + endpoint.instance.start, endpoint.instance.length)
    else:
        put_bytes_field(14, endpoint.address_bytes)
    return 0
