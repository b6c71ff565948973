# Tunnel: the state of an exchange behind a 101: both sides carry raw bytes, with back-pressure and half-closes (spec 5.8).
#
# The sides hand it what they receive, and it ends when they do; the Exchange stays, for its log line.

cdef bint is_agreed_upgrade(Request request, Head head) noexcept:
    """Whether a 101 switches to the protocol the client asked for (spec 4.5)."""
    cdef Slice asked = request.upgrade
    cdef Slice given = head.value_of(HEADER_UPGRADE)
    return (
        request.wants_upgrade and head.has_token(HEADER_CONNECTION, b"upgrade") and asked.length == given.length
        and equals_nocase(PyBytes_AS_STRING(request.head) + asked.start, head.base + given.start, given.length)
    )


cdef class Tunnel:
    def __cinit__(self, Exchange exchange):
        self.exchange = exchange
        self.client = exchange.client
        self.backend = exchange.backend

    cdef int begin(self, bytes held) except -1:
        """The 101 is out: `held`, a body that `Expect: 100-continue` held back, and bytes that came early are the tunnel's."""
        cdef bytes early = self.client.begin_tunnel(self)
        if held is not None:
            self.backend.write(held)
        if early:
            self.backend.write(early)
        self.backend.begin_tunnel(self)
        if self.client.take_end():
            self.on_client_half_close()
        return self.client.pause() if self.backend.is_full() else self.client.resume()

    cdef int on_client_data(self, bytes data) except -1:
        self.backend.write(data)
        return self.watch_silence()

    cdef int on_backend_data(self, bytes data) except -1:
        self.client.write(data)
        return self.watch_silence()

    cdef bint on_client_half_close(self) except -1:
        """The client will send no more; the backend may. Returns whether the client's side stays open for writing."""
        if self.is_half_closed or not self.backend.can_half_close():
            # TLS knows no half-closes: where the other side cannot be half-closed, the tunnel is over.
            self.finish()
            return False
        self.is_half_closed = True
        self.backend.half_close()
        self.watch_silence()
        return True

    cdef bint on_backend_half_close(self) except -1:
        """The backend will send no more; the client may. Returns whether the backend's side stays open for writing."""
        if self.is_half_closed or not (self.client.can_half_close() and self.backend.can_half_close()):
            self.finish()
            return False
        self.is_half_closed = True
        self.client.half_close()
        self.watch_silence()
        return True

    cdef int watch_silence(self) except -1:
        """If one side of the tunnel has ended, begin the wait for the other anew. A whole tunnel may be silent for ever.

        A client that takes nothing is under the stall watch instead: the backend is not read then, so its silence tells nothing.
        """
        if self.is_half_closed and not self.exchange.is_finished and not self.client.is_full():
            self.client.watch_silence()
        return 0

    cdef int on_silence(self) except -1:
        """One side has ended and the other is silent. A peer that has left altogether looks the same, so the tunnel ends."""
        if self.backend.is_full():
            # The backend has not taken everything yet. It does so, or its stall watch ends the tunnel.
            return 0
        return self.finish()

    cdef int finish(self) except -1:
        """End the tunnel for both sides, once what was written is out."""
        self.client.close()
        return self.exchange.on_tunnel_end()
