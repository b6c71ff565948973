# BackendTLSTransport: TLS with a backend or a route service, from the end of its dial on.

cdef class BackendTLSTransport(TLSTransport):
    def __cinit__(self, DialledConnection connection, object context):
        self.plane = connection.plane
        self.owner = connection
        self.context = context

    def connection_made(self, raw):
        cdef DialledConnection connection = <DialledConnection>self.owner
        self.transport = raw
        if connection.is_closed:
            # Given up since it was connected.
            self.cancel()
            return
        self.attach(raw)
        connection.on_dialled(raw)
        connection.dialling = self
        connection.arm(self.plane.handshakes)
        try:
            self.begin_handshake(self.context, False, connection.endpoint.certificate_name())
            self.shake_hands()
        except Exception as error:
            self.on_panic(error)

    def connection_lost(self, error):
        cdef DialledConnection connection = <DialledConnection>self.owner
        cdef bytes data
        while self.unread is not None and self.stage == TLS_OPEN and not self.has_end:
            # It came before the end.
            data = self.unread
            self.unread = None
            self._decrypt(data)
        error = self._reason(error)
        if self.has_owner():
            connection.connection_lost(error)
        elif connection is not None:
            self._on_end_of_handshake(connection, error)
        self.forget()

    def cancel(self):
        """End a handshake that nobody waits for any more."""
        self.owner = None
        self.abort()

    cdef int on_panic(self, object error) except -1:
        cdef DialledConnection connection = <DialledConnection>self.owner
        self.abort()
        return log_panic(self.plane, error) if connection is None else connection.on_panic(error)

    cdef int on_handshake(self) except -1:
        cdef DialledConnection connection = <DialledConnection>self.owner
        connection.on_secured()
        self.owner = connection.agreed(self.tls)
        return self.open()

    cdef int on_handshake_failed(self, object error) except -1:
        self._flush()
        return self._fail(tls_failure(error))

    cdef int on_broken(self, object error) except -1:
        # TLS 1.3 lets a backend refuse our certificate after the handshake: the alert that says so is the reason of the loss.
        self.error = error
        self.abort()
        return 0

    cdef object _reason(self, object error):
        """The reason of a loss. An alert that the peer has sent before its reset says more than the error of our write."""
        cdef char data[1024]
        cdef int descriptor = self.descriptor
        cdef Py_ssize_t size
        error = self.detach(error)
        if self.stage == TLS_SHUT or not isinstance(error, OSError) or isinstance(error, SSLError):
            return error
        size = recv(descriptor, data, sizeof(data), MSG_DONTWAIT)
        try:
            self.incoming.write(data[: max(0, size)])
            if self.stage == TLS_HANDSHAKE:
                self.tls.do_handshake()
            else:
                self.tls.read(TLS_RECORD_MAX)
        except (SSLWantReadError, SSLZeroReturnError):
            pass
        except SSLError as alert:
            return alert
        return error

    cdef int _on_end_of_handshake(self, DialledConnection connection, object error) except -1:
        if error is not None and not isinstance(error, OSError):
            # What the loop makes of a fault of ours.
            return connection.on_panic(error)
        if isinstance(error, SSLError):
            return self._fail(tls_failure(error))
        return self._fail(handshake_failure(connection, error))

    cdef int _fail(self, Failure failure) except -1:
        cdef DialledConnection connection = <DialledConnection>self.owner
        self.stage = TLS_SHUT
        self.cancel()
        return connection.on_dial_failed(failure)


cdef Failure handshake_failure(DialledConnection connection, object error):
    """The failure of a handshake that has ended without a TLS alert."""
    if isinstance(error, ConnectionResetError) and error.errno:
        return Failure(FAILURE_HANDSHAKE_RESET, f"read tcp {connection.ends()}: read: connection reset by peer")
    return Failure(FAILURE_INCOMPLETE, "EOF")
