# PROXY protocol: what a load balancer says of the client before the client's own bytes (spec 8.1).
#
# Version 1 is a line of text, version 2 is binary. A connection that begins otherwise has none and is taken as it is.

cdef bytes PROXY_V1 = b"PROXY "
cdef bytes PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"


cdef inline bint may_become(bytes data, bytes prefix) noexcept:
    """Whether `data` begins with `prefix`, as far as there is data."""
    cdef Py_ssize_t size = min(PyBytes_GET_SIZE(data), PyBytes_GET_SIZE(prefix))
    return memcmp(PyBytes_AS_STRING(data), PyBytes_AS_STRING(prefix), size) == 0


def parse_proxy_header(bytes data not None):
    """Read the PROXY header at the beginning of `data`: its size, and IP and port of the client, as far as it names them.

    The size is 0 if there is no header. None: this may become one, and is not complete. Raises ValueError for a header that
    is malformed.
    """
    if may_become(data, PROXY_V1):
        return None if len(data) < len(PROXY_V1) else _parse_proxy_line(data)
    if may_become(data, PROXY_V2):
        return None if len(data) < 16 else _parse_proxy_block(data)
    return 0, None, 0


cdef object _parse_proxy_line(bytes data):
    cdef Py_ssize_t end = data.find(b"\n", 0, PROXY_LINE_MAX)
    cdef list parts
    cdef int family
    if end < 0:
        if len(data) >= PROXY_LINE_MAX:
            raise ValueError("the line is too long")
        return None
    if data[end - 1] != c"\r":
        raise ValueError("the line does not end in CR LF")
    parts = data[: end - 1].split(b" ")
    if parts[1] == b"UNKNOWN":
        # On the load balancer's own behalf (a health check), or of a client that it cannot name; the rest is to be ignored.
        return end + 1, None, 0
    if len(parts) != 6:
        raise ValueError("not six fields")
    if parts[1] == b"TCP4":
        family = AF_INET
    elif parts[1] == b"TCP6":
        family = AF_INET6
    else:
        raise ValueError("unknown family")
    _ip_of_text(family, parts[3])
    _port_of_text(parts[5])
    return end + 1, _ip_of_text(family, parts[2]), _port_of_text(parts[4])


cdef object _parse_proxy_block(bytes data):
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = 16 + big_endian(base + 14, 2)
    cdef int command = base[12]
    cdef int family, width
    # Both are looked at before the rest is here: a header that cannot become valid is not waited for.
    if command != 0x20 and command != 0x21:
        raise ValueError("unknown version or command")
    if command == 0x20 or base[13] == 0x00:
        # LOCAL: the load balancer itself, on its own behalf; UNSPEC: a client that it cannot name. What follows is to be ignored.
        return None if len(data) < size else (size, None, 0)
    if base[13] == 0x11:
        family, width = AF_INET, 4
    elif base[13] == 0x21:
        family, width = AF_INET6, 16
    else:
        raise ValueError("unknown family")
    if size < 16 + 2 * width + 4:
        raise ValueError("too short for its addresses")
    if len(data) < size:
        return None
    return size, _text_of_ip(family, base + 16), big_endian(base + 16 + 2 * width, 2)


cdef bytes _ip_of_text(int family, bytes text):
    """The IP in its usual spelling. Raises ValueError for what is none."""
    cdef unsigned char packed[16]
    if b"\0" in text or inet_pton(family, PyBytes_AS_STRING(text), packed) != 1:
        raise ValueError("no IP address")
    return _text_of_ip(family, packed)


cdef bytes _text_of_ip(int family, const unsigned char* packed):
    cdef char text[64]
    inet_ntop(family, packed, text, 64)
    return <bytes>text


cdef int _port_of_text(bytes text) except -1:
    cdef int port
    if not (1 <= len(text) <= 5 and text.isdigit()):
        raise ValueError("no port")
    port = int(text)
    if port > 65535:
        raise ValueError("no port")
    return port


cdef class ProxyHeaderReader(Timed):
    """The protocol of a connection until its PROXY header is read, or is known to be missing; a client's takes its place then."""

    def __cinit__(self, ListenerProtocol listener):
        self.listener = listener
        self.backlog = b""

    def connection_made(self, transport):
        cdef object peer = transport.get_extra_info("peername")
        self.transport = transport
        if peer is None:
            transport.abort()
        elif self.listener.is_trusted_proxy is not None and not self.listener.is_trusted_proxy(peer[0]):
            self._let_in(ClientConnection(self.listener.plane), b"")
        else:
            self.listener.plane.handshaking.add(self)
            self.arm(self.listener.plane.proxy_headers)

    def data_received(self, bytes data):
        cdef object header
        cdef ClientConnection client
        if self.transport is None:
            return
        self.backlog += data
        try:
            header = parse_proxy_header(self.backlog)
        except ValueError:
            self._refuse()
            return
        if header is None:
            return
        size, ip, port = header
        client = ClientConnection(self.listener.plane)
        if ip is not None:
            client.identity.set_address(ip, port)
        self._let_in(client, self.backlog[size:])

    def eof_received(self):
        return False

    def connection_lost(self, error):
        self._leave()

    cdef on_deadline(self, DeadlineQueue queue):
        if len(self.backlog) < len(PROXY_V1) or may_become(self.backlog, PROXY_V2) and len(self.backlog) < len(PROXY_V2):
            # Too little came to be a header.
            self._let_in(ClientConnection(self.listener.plane), self.backlog)
        else:
            self._refuse()

    cdef int on_panic(self, object error) except -1:
        self.abort()
        return log_panic(self.listener.plane, error)

    def abort(self):
        if self.transport is not None:
            self.transport.abort()
        self._leave()

    cdef int _refuse(self) except -1:
        count_refusal(self.listener.plane, REFUSAL_PROXY_HEADER)
        self.abort()
        return 0

    cdef int _leave(self) except -1:
        self.disarm()
        self.listener.plane.handshaking.discard(self)
        self.transport = None
        return 0

    cdef int _let_in(self, ClientConnection client, bytes data) except -1:
        cdef object transport = self.transport
        cdef object protocol = self.listener.open(client)
        self._leave()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)
        return 0
