# DialledConnection: what connections to endpoints have in common, whatever protocol they speak: how they begin, and who they are.

cdef class DialledConnection(Connection):
    cdef int dial(self) except -1:
        self.arm(self.plane.dials)
        self.plane.backends.add(self)
        self.dialling = self.plane.loop.create_task(dial(self))
        return 0

    cdef object tls_context(self):
        """The ssl.SSLContext for the endpoint."""
        return self.plane.settings.backend_tls

    cdef int on_dialled(self, object transport) except -1:
        """TCP is connected; a TLS handshake may follow."""
        cdef object sock = transport.get_extra_info("socket")
        cdef object local
        self.disarm()
        if sock is None:
            return 0
        probe_peer(sock, self.plane.settings.keep_alive_probe_interval)
        self.raw = transport
        local = transport.get_extra_info("sockname")
        if local:
            self.local_address = f"[{local[0]}]:{local[1]}" if ":" in local[0] else f"{local[0]}:{local[1]}"
        return 0

    cdef int on_secured(self) except -1:
        """The TLS handshake is over."""
        raise AssertionError("a DialledConnection class defines on_secured")

    cdef DialledConnection agreed(self, object tls):
        """The connection that gets the transport when the handshake `tls` (ssl.SSLObject) is over, by the protocol agreed on."""
        return self

    cdef int on_late_dial(self, DeadlineQueue queue) except -1:
        """The time of the dial, or of the handshake, is over."""
        if self.dialling is not None:
            self.dialling.cancel()
        if queue is self.plane.dials:
            return self.on_dial_failed(Failure(FAILURE_DIAL, f"dial tcp {self.endpoint.address}: i/o timeout"))
        return self.on_dial_failed(Failure(FAILURE_HANDSHAKE_TIMEOUT, "net/http: TLS handshake timeout"))

    cdef int on_dial_failed(self, Failure failure) except -1:
        """The dial or the handshake has failed."""
        self.disarm()
        self.is_closed = True
        self.dialling = None
        self.plane.backends.discard(self)
        return 0

    cdef bint has_ended(self) except -1:
        """Whether the kernel knows that this idle connection is of no use: it has ended, or has bytes nobody asked for.

        Such bytes would be taken for the response to the next request. Bytes that come once that request is sent cannot be told
        from its response.
        """
        cdef char byte
        if self.raw is None:
            return False
        # A TLS transport is told of the end one turn of the loop later than the socket below it.
        if self.raw is not self.transport and self.raw.is_closing():
            return True
        return recv(self.descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 or errno != EAGAIN

    cdef Failure failure_of(self, object error):
        """What it means that the connection was lost to `error`, an OSError."""
        if isinstance(error, SSLError):
            # TLS 1.3 lets a backend refuse our certificate after the handshake.
            return tls_failure(error)
        if isinstance(error, ConnectionResetError):
            return Failure(FAILURE_RESET, f"read tcp {self.ends()}: read: connection reset by peer")
        if error.errno in STARVED:
            # The backend is not marked for it, as it is not for a connection that ends without an error.
            self.plane.on_starved(error.errno)
            return Failure(FAILURE_EOF, f"write tcp {self.ends()}: write: {errno_text(error)}")
        return Failure(FAILURE_RESET, f"write tcp {self.ends()}: write: {errno_text(error)}")

    cdef int stop(self) except -1:
        """The router stops."""
        return self.abort()

    cdef int abort(self) except -1:
        """End it now: what it still carries is of no use to anybody."""
        raise AssertionError("a DialledConnection class defines abort")

    cdef str ends(self):
        """`local->remote` as Go prints the two ends of a connection."""
        return f"{self.local_address or ''}->{self.endpoint.address}"
