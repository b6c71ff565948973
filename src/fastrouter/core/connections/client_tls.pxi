# ClientTLSTransport: TLS with a client, from its first byte on.

# Go's response to a client that speaks HTTP where HTTPS is spoken (spec 4.0).
cdef bytes PLAIN_HTTP_BODY = b"Client sent an HTTP request to an HTTPS server.\n"
cdef bytes PLAIN_HTTP_HEAD = b"HTTP/1.0 400 Bad Request\r\n\r\n"


cdef class ClientTLSTransport(TLSTransport):
    def __cinit__(self, ListenerProtocol listener, ClientConnection client):
        self.listener = listener
        self.plane = listener.plane
        self.owner = client
        self.stage = TLS_CLIENT_HELLO

    def connection_made(self, raw):
        self.transport = raw
        self.attach(raw)
        self.plane.handshaking.add(self)
        self.arm(self.plane.header_reads)
        self.plane.turns.add_new_connection(self)

    def connection_lost(self, error):
        cdef Connection client = self.owner if self.has_owner() else None
        self._leave()
        error = self.detach(error)
        if client is not None:
            client.connection_lost(error)
        self.forget()

    cdef on_deadline(self, DeadlineQueue queue):
        # A handshake that takes too long, or a client that was refused and does not close its end.
        if self.stage == TLS_HANDSHAKE or self.client_hello is not None:
            count_refusal(self.plane, REFUSAL_TLS_HANDSHAKE)
        self.abort()

    cdef int on_panic(self, object error) except -1:
        self.abort()
        return log_panic(self.plane, error)

    cdef int on_client_hello(self, bytes data) except -1:
        """Look at the first bytes: is this TLS at all, and for a protocol that is spoken here?"""
        cdef ListenerProtocol listener = self.listener
        cdef bytes hello
        if self.client_hello is not None:
            data = self.client_hello + data
        if <unsigned char>PyBytes_AS_STRING(data)[0] != TLS_RECORD_HANDSHAKE:
            return self._refuse_plain_http(data) if c"A" <= PyBytes_AS_STRING(data)[0] <= c"Z" else self._refuse(b"")
        if listener.protocols or listener.knows_domains:
            hello = gather_client_hello(data)
            if hello is None:
                if PyBytes_GET_SIZE(data) > CLIENT_HELLO_MAX:
                    return self._refuse(b"")
                self.client_hello = data
                return 0
            if listener.protocols and offers_only_foreign_protocols(hello, listener.protocols):
                return self._refuse(NO_APPLICATION_PROTOCOL)
        self.client_hello = None
        self.takes_http2 = b"h2" in listener.protocols
        if listener.knows_domains:
            self.server_name = server_name_of(hello)
            if self.server_name is not None:
                self.domain = domain_of(self.plane, PyBytes_AS_STRING(self.server_name), PyBytes_GET_SIZE(self.server_name))
        self.is_allowed = listener.is_allowed if self.domain is None else self.domain.is_allowed
        self.begin_handshake(listener.context if self.domain is None else self.domain.context, True, None)
        return self.on_data(data)

    cdef int on_handshake(self) except -1:
        cdef ClientConnection client = <ClientConnection>self.owner
        if self.is_allowed is not None and not self.is_allowed(self.tls):
            # This is before the last flight of the handshake leaves, which may have a session ticket.
            return self._refuse(b"")
        client.identity.set_secured(self.tls.getpeercert(True))
        if self.domain is not None and client.identity.certificate is None:
            return self._refuse(b"")
        self._leave()
        client.identity.set_domain(self.domain, self.server_name)
        if self.takes_http2 and self.tls.selected_alpn_protocol() == "h2":
            if has_forbidden_suite(self.tls):
                count_refusal(self.plane, REFUSAL_TLS_HANDSHAKE)
                self.owner = InadequateHTTP2Connection(self.plane, client.identity)
            else:
                self.owner = HTTP2ClientConnection(self.plane, client.identity)
        return self.open()

    cdef int on_handshake_failed(self, object error) except -1:
        return self._refuse(self.outgoing.read())

    cdef int on_broken(self, object error) except -1:
        self.close_transport()
        return 0

    cdef int _refuse_plain_http(self, bytes data) except -1:
        """`data` begins a request: it gets a response, and the connection ends with that."""
        cdef ClientConnection client = <ClientConnection>self.owner
        if client.identity.learn_address(self.transport):
            note_refusal(client, data, REFUSAL_PLAIN_HTTP, 400, PyBytes_GET_SIZE(PLAIN_HTTP_BODY))
        else:
            count_refusal(self.plane, REFUSAL_PLAIN_HTTP)
        return self._turn_away(PLAIN_HTTP_HEAD + PLAIN_HTTP_BODY)

    cdef int _refuse(self, bytes last_words) except -1:
        """Refuse the handshake, with `last_words` as the alert, if any."""
        count_refusal(self.plane, REFUSAL_TLS_HANDSHAKE)
        return self._turn_away(last_words)

    cdef int _turn_away(self, bytes last_words) except -1:
        """End a connection that no client has yet; reading on for a moment lets the last bytes written arrive."""
        self.stage = TLS_SHUT
        self.owner = None
        self.client_hello = None
        if last_words:
            self.write_out(last_words)
        self.transport.write_eof()
        self.arm(self.plane.lingerings)
        return 0

    cdef int _leave(self) except -1:
        """The handshake is over: the connection is a client's now, or has ended."""
        self.disarm()
        self.plane.handshaking.discard(self)
        return 0
