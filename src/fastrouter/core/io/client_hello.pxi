# ClientHello: which host a client asks for (SNI), and whether it offers a protocol (ALPN) that the router speaks, before OpenSSL
# sees it.
#
# By the host it is chosen by whose rules the handshake goes: OpenSSL's own callback comes too late to change all of them. If no
# offered protocol matches, Go's TLS refuses the connection. Python's ssl goes on without ALPN, and does not say what was
# offered. So both are read here, from the first bytes of the connection. Malformed bytes are left to OpenSSL to refuse.

cdef bytes NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"


cdef inline Py_ssize_t big_endian(const unsigned char* data, int size) noexcept:
    cdef Py_ssize_t value = 0
    cdef int index
    for index in range(size):
        value = value << 8 | data[index]
    return value


cdef bytes gather_client_hello(bytes data):
    """The body of the ClientHello in the records of `data`; None while it is not complete, empty for anything else.

    It may be split into records (RFC 8446 section 5.1), but only into so many that walking them again for each read is cheap.
    """
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t length, wanted
    cdef bytes message = b""
    for _ in range(CLIENT_HELLO_RECORDS):
        if size - at < 5:
            return None
        length = big_endian(base + at + 3, 2)
        if base[at] != TLS_RECORD_HANDSHAKE or length == 0:
            return b""
        if size - at < 5 + length:
            return None
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if PyBytes_GET_SIZE(message) < 4:
            continue
        wanted = 4 + big_endian(<const unsigned char*>PyBytes_AS_STRING(message) + 1, 3)
        if message[0] != 1 or wanted > CLIENT_HELLO_MAX:
            return b""
        if PyBytes_GET_SIZE(message) >= wanted:
            return message[4:wanted]
    return b""


cdef Py_ssize_t find_extension(bytes hello, int kind, Py_ssize_t* end) except -1:
    """Where the content of an extension of a ClientHello's body begins, and its end; 0 if there is none that is whole."""
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(hello)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(hello)
    cdef Py_ssize_t at = 34                     # version and random
    cdef Py_ssize_t length
    cdef int width
    # Session id, cipher suites, compression methods: each a length of `width` bytes, and so many bytes.
    for width in (1, 2, 1):
        if size - at < width:
            return 0
        at += width + big_endian(base + at, width)
    at += 2                                     # length of all extensions
    while size - at >= 4:
        length = big_endian(base + at + 2, 2)
        if size - at - 4 < length:
            return 0
        if big_endian(base + at, 2) == kind:
            end[0] = at + 4 + length
            return at + 4
        at += 4 + length
    return 0


cdef bint offers_only_foreign_protocols(bytes hello, tuple spoken) except -1:
    """Whether a ClientHello's body has an ALPN list (RFC 7301), and nothing in it is `spoken`."""
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(hello)
    cdef Py_ssize_t end = 0
    cdef Py_ssize_t at = find_extension(hello, TLS_EXTENSION_ALPN, &end)
    if at == 0:
        return False
    at += 2                                     # length of the list
    while at < end and at + 1 + base[at] <= end:
        if hello[at + 1 : at + 1 + base[at]] in spoken:
            return False
        at += 1 + base[at]
    return at == end


cdef bytes server_name_of(bytes hello):
    """The host that a ClientHello's body asks for by SNI (RFC 6066 section 3), None if it names none."""
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(hello)
    cdef Py_ssize_t end = 0
    cdef Py_ssize_t at = find_extension(hello, TLS_EXTENSION_SERVER_NAME, &end)
    cdef Py_ssize_t length
    # Length of the list, type of its only entry (0, a host) and length of that.
    if at == 0 or end - at < 5 or base[at + 2] != 0:
        return None
    length = big_endian(base + at + 3, 2)
    return hello[at + 5 : at + 5 + length] if 0 < length == end - at - 5 else None


def has_foreign_protocols(bytes data not None, tuple spoken not None):
    """Whether the ClientHello at the beginning of `data` is to be refused; None while it is not complete."""
    cdef bytes hello = gather_client_hello(data)
    return None if hello is None else offers_only_foreign_protocols(hello, spoken)


def server_name_in(bytes data not None):
    """The host that the ClientHello at the beginning of `data` asks for; None if it names none, or is not complete."""
    cdef bytes hello = gather_client_hello(data)
    return None if hello is None else server_name_of(hello)
