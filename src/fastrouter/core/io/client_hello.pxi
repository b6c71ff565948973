# ClientHello: whether a client offers a protocol (ALPN) that the router speaks, before OpenSSL sees it.
#
# If no offered protocol matches, Go's TLS refuses the connection. Python's ssl goes on without ALPN, and does not say what was
# offered. So the list is read here, from the first bytes of the connection. Malformed bytes are left to OpenSSL to refuse.

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


cdef bint offers_only_foreign_protocols(bytes hello, tuple spoken) except -1:
    """Whether a ClientHello's body has an ALPN list (RFC 7301), and nothing in it is `spoken`."""
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(hello)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(hello)
    cdef Py_ssize_t at = 34                     # version and random
    cdef Py_ssize_t end, length
    cdef int width
    # Session id, cipher suites, compression methods: each a length of `width` bytes, and so many bytes.
    for width in (1, 2, 1):
        if size - at < width:
            return False
        at += width + big_endian(base + at, width)
    at += 2                                     # length of all extensions
    while size - at >= 4:
        length = big_endian(base + at + 2, 2)
        if size - at - 4 < length:
            return False
        if big_endian(base + at, 2) == TLS_EXTENSION_ALPN:
            end = at + 4 + length
            at += 6                             # type, length, length of the list
            while at < end and at + 1 + base[at] <= end:
                if hello[at + 1 : at + 1 + base[at]] in spoken:
                    return False
                at += 1 + base[at]
            return at == end
        at += 4 + length
    return False


def has_foreign_protocols(bytes data not None, tuple spoken not None):
    """Whether the ClientHello at the beginning of `data` is to be refused; None while it is not complete."""
    cdef bytes hello = gather_client_hello(data)
    return None if hello is None else offers_only_foreign_protocols(hello, spoken)
