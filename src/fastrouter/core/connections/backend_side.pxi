# HTTP1BackendSide: the backend of an exchange that goes over a connection of HTTP/1.

@cython.final
cdef class HTTP1BackendSide(BackendSide):
    def __cinit__(self, BackendConnection connection):
        self.connection = connection

    cdef int serve(self, Exchange exchange) except -1:
        cdef BackendConnection connection = self.connection
        connection.exchange = exchange
        return connection.dial() if connection.transport is None else exchange.on_backend_ready()

    cdef int write_rendered(self) except -1:
        return self.connection.write_rendered()

    cdef int write(self, bytes data) except -1:
        return 0 if self.connection.is_closed else self.connection.write_out(data)

    cdef int pause(self) except -1:
        return self.connection.let_read(False)

    cdef int resume(self) except -1:
        return self.connection.let_read(True)

    cdef bint is_full(self) noexcept:
        return self.connection.is_write_paused

    cdef bint was_used(self) noexcept:
        return self.connection.was_used

    cdef str local_address(self):
        return self.connection.local_address

    cdef int64_t missing(self) noexcept:
        return self.connection.framing.remaining if self.connection.framing.kind == FRAMING_LENGTH else -1

    cdef BackendConnection _let_go(self):
        self.connection.exchange = None
        self.connection.tunnel = None
        return self.connection

    cdef int release(self) except -1:
        return self._let_go().release()

    cdef int close(self) except -1:
        return self._let_go().close()

    cdef int abort(self) except -1:
        return self._let_go().abort()

    cdef int begin_tunnel(self, Tunnel tunnel) except -1:
        self.connection.tunnel = tunnel
        return self.connection.watch_stall()

    cdef bint can_half_close(self) except -1:
        return self.connection.transport is not None and self.connection.transport.can_write_eof()

    cdef int half_close(self) except -1:
        self.connection.transport.write_eof()
        return 0
