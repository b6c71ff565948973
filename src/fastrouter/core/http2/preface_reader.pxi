# PrefaceReader: which HTTP a client speaks in the clear, by its first bytes. There is none where only HTTP/1 is taken.

cdef bytes PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


cdef class PrefaceReader(Timed):
    """The protocol of a connection until it is known whether it begins with the preface of HTTP/2; then it is out of the way."""

    def __cinit__(self, ClientConnection client):
        self.client = client
        self.plane = client.plane
        self.backlog = b""

    def connection_made(self, transport):
        self.transport = transport
        self.plane.handshaking.add(self)
        self.arm(self.plane.header_reads)

    def data_received(self, bytes data):
        if self.transport is None:
            return
        self.backlog += data
        if len(self.backlog) >= PREFACE_SIZE or not may_become(self.backlog, PREFACE):
            self._let_in(self.backlog.startswith(PREFACE))

    def eof_received(self):
        return False

    def connection_lost(self, error):
        self._note_incomplete()
        self._leave()

    cdef on_deadline(self, DeadlineQueue queue):
        self._note_incomplete()
        self.abort()

    cdef int _note_incomplete(self) except -1:
        """It has not become clear what the client speaks."""
        if self.client is None or len(self.backlog) == 0:
            return 0
        self.client.identity.learn_address(self.transport)
        return note_refusal(self.client, self.backlog, REFUSAL_INCOMPLETE_HEADER, 0, 0)

    cdef int on_panic(self, object error) except -1:
        self.abort()
        return log_panic(self.plane, error)

    def abort(self):
        if self.transport is not None:
            self.transport.abort()
        self._leave()

    cdef int _leave(self) except -1:
        self.disarm()
        self.plane.handshaking.discard(self)
        self.transport = None
        self.client = None
        return 0

    cdef int _let_in(self, bint is_http2) except -1:
        cdef object transport = self.transport
        cdef object protocol = self.client
        if is_http2:
            protocol = HTTP2ClientConnection(self.plane, self.client.identity)
        self._leave()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self.backlog)
        return 0
