# HTTP1ClientSide: the client of an exchange that came over a connection of HTTP/1.

@cython.final
cdef class HTTP1ClientSide(ClientSide):
    def __cinit__(self, ClientIdentity identity, ClientConnection connection):
        self.connection = connection

    cdef int write_rendered(self) except -1:
        cdef ClientConnection connection = self.connection
        if connection.transport is not None and not connection.is_closing:
            return connection.write_rendered()
        drop_message()
        return 0

    cdef int write(self, object data) except -1:
        return self.connection.write(data)

    cdef int write_parts(self, list parts) except -1:
        cdef ClientConnection connection = self.connection
        if connection.transport is not None and not connection.is_closing:
            connection.write_parts(parts)
        return 0

    cdef int pause(self) except -1:
        return self.connection.adjust_reading()

    cdef int resume(self) except -1:
        return self.connection.on_body_room()

    cdef int finish(self, bint is_last) except -1:
        return self.connection.on_exchange_end(is_last)

    cdef int break_off(self, bint needs_reset) except -1:
        return self.connection.abort_response(needs_reset)

    cdef int close(self) except -1:
        return self.connection.close_after_write()

    cdef bint serves(self, Exchange exchange) noexcept:
        return self.connection.exchange is exchange

    cdef int abort(self) except -1:
        cdef ClientConnection connection = self.connection
        connection.exchange = None
        connection.tunnel = None
        return connection.abort()

    cdef bytes begin_tunnel(self, Tunnel tunnel):
        return self.connection.begin_tunnel(tunnel)

    cdef bint take_end(self) noexcept:
        cdef bint has_ended = self.connection.has_eof
        self.connection.has_eof = False
        return has_ended

    cdef bint is_full(self) noexcept:
        return self.connection.is_write_paused

    cdef bint can_half_close(self) except -1:
        return self.connection.transport is not None and self.connection.transport.can_write_eof()

    cdef int half_close(self) except -1:
        self.connection.transport.write_eof()
        return 0

    cdef int watch_silence(self) except -1:
        self.connection.arm(self.connection.plane.tunnel_silences)
        return 0
