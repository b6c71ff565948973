# Header names: those the router knows, their canonical spelling, and what bytes are allowed where.

cdef struct KnownName:
    const char* lower
    uint64_t begin          # its first eight bytes, zeros behind a shorter one
    int length
    int next                # index of the next known name of the same length, or -1

cdef KnownName _known_names[HEADER_KINDS]
cdef int _known_by_length[KNOWN_NAME_MAX + 1]
cdef unsigned char _lower[256]
cdef unsigned char _upper[256]
cdef unsigned char _is_token[256]
cdef unsigned char _is_host[256]
cdef unsigned char _is_value[256]
cdef unsigned char _own_of_requests[HEADER_KINDS + 1]       # by kind: what the router renders itself instead of copying it
cdef unsigned char _own_of_responses[HEADER_KINDS + 1]
cdef dict _kind_names = {}      # keeps the name bytes alive


cdef void _make_tables():
    cdef int i
    for i in range(256):
        _lower[i] = i + 32 if 65 <= i <= 90 else i
        _upper[i] = i - 32 if 97 <= i <= 122 else i
        # RFC 9110 section 5.6.2
        _is_token[i] = 48 <= i <= 57 or 65 <= i <= 90 or 97 <= i <= 122 or (i < 128 and chr(i) in "!#$%&'*+-.^_`|~")
        # What Go allows in a Host header: sub-delims, unreserved, brackets, colon, percent.
        _is_host[i] = 48 <= i <= 57 or 65 <= i <= 90 or 97 <= i <= 122 or (i < 128 and chr(i) in "!$%&'()*+,-.:;=[]_~")
        # RFC 9110 section 5.5: no control character but the tab.
        _is_value[i] = i == 9 or (i >= 32 and i != 127)
    for i in range(KNOWN_NAME_MAX + 1):
        _known_by_length[i] = -1
    for i in range(HEADER_KINDS + 1):
        # X-Forwarded-Proto and X-Request-Start are only added where there is none.
        _own_of_requests[i] = HEADER_HOST <= i <= HEADER_X_CF_INSTANCEINDEX and (
            i != HEADER_X_FORWARDED_PROTO and i != HEADER_X_REQUEST_START
        )
        # With a signature, an app could pass for a route service (spec 8.10).
        _own_of_responses[i] = (
            i == HEADER_CONTENT_LENGTH or i == HEADER_TRANSFER_ENCODING or i == HEADER_X_CF_PROXY_SIGNATURE
        )


cdef void register_name(int kind, bytes lower):
    cdef int length = len(lower)
    _kind_names[kind] = lower
    _known_names[kind].lower = PyBytes_AS_STRING(lower)
    _known_names[kind].begin = lower_begin(_known_names[kind].lower, length)
    _known_names[kind].length = length
    _known_names[kind].next = _known_by_length[length]
    _known_by_length[length] = kind


cdef inline bint is_same_text(const char* text, const char* lower, Py_ssize_t length) noexcept nogil:
    """Whether `text` is `lower` (already lower case) in any spelling."""
    cdef Py_ssize_t i
    for i in range(length):
        if _lower[<unsigned char>text[i]] != <unsigned char>lower[i]:
            return False
    return True


cdef inline uint64_t lower_begin(const char* text, Py_ssize_t length) noexcept nogil:
    """The first eight bytes of `text` in lower case, as one number, with zeros behind a shorter text."""
    cdef uint64_t word = 0
    cdef uint64_t low
    if length >= 8:
        memcpy(&word, text, 8)
    else:
        memcpy(&word, text, length)
    # Per byte, without a carry into the next: the high bit says whether it is 'A' or more, and whether it is more than 'Z'.
    low = word & 0x7F7F7F7F7F7F7F7FU
    return word | (((low + 0x3F3F3F3F3F3F3F3FU) & ~(low + 0x2525252525252525U) & ~word & 0x8080808080808080U) >> 2)


cdef inline int known_kind(const char* name, Py_ssize_t length) noexcept nogil:
    """The HEADER_* of a name in any spelling."""
    cdef KnownName* known
    cdef uint64_t begin
    cdef int kind
    if length > KNOWN_NAME_MAX:
        return HEADER_OTHER
    kind = _known_by_length[length]
    if kind < 0:
        return HEADER_OTHER
    begin = lower_begin(name, length)
    while kind >= 0:
        known = &_known_names[kind]
        if known.begin == begin and (length <= 8 or is_same_text(name + 8, known.lower + 8, length - 8)):
            return kind
        kind = known.next
    return HEADER_OTHER


cdef inline int put_lower(const char* text, Py_ssize_t length) except -1:
    """Append `text` in lower case."""
    cdef char* at = room_for(length)
    cdef Py_ssize_t i
    for i in range(length):
        at[i] = <char>_lower[<unsigned char>text[i]]
    fill_to(at + length)
    return 0


cdef inline char* write_canonical(char* into, const char* name, Py_ssize_t length) noexcept nogil:
    """Write a header name in Go's canonical form: each dash-separated word capitalised (spec 0.5)."""
    cdef Py_ssize_t i
    cdef bint first = True
    for i in range(length):
        into[i] = <char>(_upper[<unsigned char>name[i]] if first else _lower[<unsigned char>name[i]])
        first = name[i] == c"-"
    return into + length


cdef inline char* write_canonical_blocks(char* into, const char* name, Py_ssize_t length) noexcept nogil:
    """The same for the name of a line in a head, 16 bytes at a time, which the C compiler turns into vector instructions.

    It reads and writes whole blocks of 16 bytes, so up to 15 bytes behind the name; the byte in front of it is a newline.
    """
    cdef unsigned char now[16]
    cdef unsigned char before[16]
    cdef unsigned char is_letter, follows
    cdef Py_ssize_t at
    cdef int i
    for at in range(0, length, 16):
        memcpy(now, name + at, 16)
        memcpy(before, name + at - 1, 16)
        for i in range(16):
            is_letter = <unsigned char>((now[i] | 32) - 97) < 26
            follows = (before[i] != c"-") & (before[i] != c"\n")
            # The bit by which lower and upper case differ.
            now[i] = (now[i] & ~(is_letter << 5)) | ((is_letter & follows) << 5)
        memcpy(into + at, now, 16)
    return into + length


cdef inline bint has_only(const unsigned char* allowed, const char* text, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(length):
        if not allowed[<unsigned char>text[i]]:
            return False
    return True


cdef inline bint equals_nocase(const char* a, const char* b, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(length):
        if _lower[<unsigned char>a[i]] != _lower[<unsigned char>b[i]]:
            return False
    return True


cdef inline bint is_word(const char* base, Slice text, const char* word) noexcept nogil:
    return text.length == strlen(word) and memcmp(base + text.start, word, text.length) == 0


cdef inline bint is_token(const char* text, Py_ssize_t length, const char* lower) noexcept nogil:
    return length == <Py_ssize_t>strlen(lower) and is_same_text(text, lower, length)


cdef inline bint is_blank(char byte) noexcept nogil:
    return byte == c" " or byte == c"\t"


cdef bint next_token(const char* text, Py_ssize_t length, Py_ssize_t* at, Slice* token) noexcept nogil:
    """Step to the next non-empty element of a comma-separated list, surrounding blanks cut off."""
    cdef Py_ssize_t start, stop
    while at[0] < length:
        start = at[0]
        while start < length and is_blank(text[start]):
            start += 1
        stop = start
        while stop < length and text[stop] != c",":
            stop += 1
        at[0] = stop + 1
        while stop > start and is_blank(text[stop - 1]):
            stop -= 1
        if stop > start:
            token.start = <uint32_t>start
            token.length = <uint32_t>(stop - start)
            return True
    return False


_make_tables()
# Of names with the same length the last is compared first, so rare names come before frequent ones.
register_name(HEADER_B3, b"b3")
register_name(HEADER_X_B3_TRACEID, b"x-b3-traceid")
register_name(HEADER_X_B3_SPANID, b"x-b3-spanid")
register_name(HEADER_X_B3_PARENTSPANID, b"x-b3-parentspanid")
register_name(HEADER_X_B3_SAMPLED, b"x-b3-sampled")
register_name(HEADER_X_B3_FLAGS, b"x-b3-flags")
register_name(HEADER_TRACEPARENT, b"traceparent")
register_name(HEADER_TRACESTATE, b"tracestate")
register_name(HEADER_HOST, b"host")
register_name(HEADER_CONNECTION, b"connection")
register_name(HEADER_PROXY_CONNECTION, b"proxy-connection")
register_name(HEADER_KEEP_ALIVE, b"keep-alive")
register_name(HEADER_PROXY_AUTHENTICATE, b"proxy-authenticate")
register_name(HEADER_PROXY_AUTHORIZATION, b"proxy-authorization")
register_name(HEADER_TE, b"te")
register_name(HEADER_TRAILER, b"trailer")
register_name(HEADER_TRANSFER_ENCODING, b"transfer-encoding")
register_name(HEADER_UPGRADE, b"upgrade")
register_name(HEADER_CONTENT_LENGTH, b"content-length")
register_name(HEADER_EXPECT, b"expect")
register_name(HEADER_USER_AGENT, b"user-agent")
register_name(HEADER_REFERER, b"referer")
register_name(HEADER_DATE, b"date")
register_name(HEADER_IDEMPOTENCY_KEY, b"idempotency-key")
register_name(HEADER_X_IDEMPOTENCY_KEY, b"x-idempotency-key")
register_name(HEADER_X_FORWARDED_FOR, b"x-forwarded-for")
register_name(HEADER_X_FORWARDED_PROTO, b"x-forwarded-proto")
register_name(HEADER_X_REQUEST_START, b"x-request-start")
register_name(HEADER_X_VCAP_REQUEST_ID, b"x-vcap-request-id")
register_name(HEADER_X_CF_APP_INSTANCE, b"x-cf-app-instance")
register_name(HEADER_X_CF_APPLICATIONID, b"x-cf-applicationid")
register_name(HEADER_X_CF_INSTANCEID, b"x-cf-instanceid")
register_name(HEADER_X_CF_INSTANCEINDEX, b"x-cf-instanceindex")
register_name(HEADER_X_CF_PROCESS_INSTANCE, b"x-cf-process-instance")
register_name(HEADER_COOKIE, b"cookie")
register_name(HEADER_SET_COOKIE, b"set-cookie")
register_name(HEADER_AUTHORIZATION, b"authorization")
register_name(HEADER_WWW_AUTHENTICATE, b"www-authenticate")
register_name(HEADER_X_CF_ROUTERERROR, b"x-cf-routererror")
register_name(HEADER_X_VCAP_TRACE, b"x-vcap-trace")
register_name(HEADER_X_VCAP_ROUTER, b"x-vcap-router")
register_name(HEADER_X_VCAP_BACKEND, b"x-vcap-backend")
register_name(HEADER_X_CF_ROUTEENDPOINT, b"x-cf-routeendpoint")
register_name(HEADER_X_FORWARDED_CLIENT_CERT, b"x-forwarded-client-cert")
register_name(HEADER_X_CF_PROXY_SIGNATURE, b"x-cf-proxy-signature")
register_name(HEADER_X_CF_PROXY_METADATA, b"x-cf-proxy-metadata")
register_name(HEADER_X_CF_FORWARDED_URL, b"x-cf-forwarded-url")
