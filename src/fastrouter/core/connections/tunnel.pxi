# Tunnel: after a 101 both connections carry raw bytes, with back-pressure and half-closes (spec 5.8).
#
# The Exchange stays between them; bytes of the backend go straight to `ClientConnection.write`.

cdef bint is_agreed_upgrade(Exchange exchange, Head head) noexcept:
    """Whether a 101 switches to the protocol the client asked for (spec 4.5)."""
    cdef Slice asked = exchange.upgrade
    cdef Slice given = head.value_of(HEADER_UPGRADE)
    return (
        exchange.wants_upgrade and head.has_token(HEADER_CONNECTION, b"upgrade") and asked.length == given.length
        and equals_nocase(PyBytes_AS_STRING(exchange.head) + asked.start, head.base + given.start, given.length)
    )


cdef int begin_tunnel(ClientConnection client, Exchange exchange) except -1:
    """The 101 is out: bytes that came early are the tunnel's."""
    client.keep_alive = False
    client.drop_validator()
    client.disarm()
    # The write of the 101 may have found the client gone, and the exchange be over with it.
    if exchange.backend is not None:
        if exchange.held is not None:
            # A body that `Expect: 100-continue` held back.
            exchange.backend.send(exchange.take_held())
        if client.pending is not None and client.at < PyBytes_GET_SIZE(client.pending):
            exchange.backend.send(client.pending[client.at:])
        if client.backlog is not None:
            exchange.backend.send(bytes(client.backlog))
        exchange.backend.watch_stall()
    client.pending = None
    client.backlog = None
    client.watch_stall()
    if client.has_eof and not exchange.is_finished:
        # It has sent its last byte in front of the 101; no other event will say so.
        on_client_half_close(client, exchange)
    return client.adjust_reading()


cdef int send_tunnelled(ClientConnection client, Exchange exchange, bytes data) except -1:
    if exchange.backend is not None and not exchange.backend.is_closed:
        exchange.backend.send(data)
    return watch_silence(client, exchange)


cdef int relay_tunnelled(ClientConnection client, Exchange exchange, bytes data) except -1:
    client.write(data)
    return watch_silence(client, exchange)


cdef int watch_silence(ClientConnection client, Exchange exchange) except -1:
    """Of a tunnel of which one side has ended, let the silence of the other begin anew; a whole one may be silent for ever.

    A client that takes nothing is under the stall watch instead: then the backend is not read, and its silence is not its own.
    """
    if exchange.is_half_closed and not exchange.is_finished and not client.is_write_paused:
        client.arm(client.plane.tunnel_silences)
    return 0


cdef int on_silence(Exchange exchange) except -1:
    """One side has ended and the other is silent. A peer that has left altogether looks the same, so the tunnel ends."""
    if exchange.backend is not None and exchange.backend.is_write_paused:
        # It has not received everything yet. Its stall watch, or room, ends that.
        return 0
    return exchange.finish()


cdef bint on_client_half_close(ClientConnection client, Exchange exchange) except -1:
    """The client will send no more; the backend may. Returns whether the client's side stays open for writing."""
    if exchange.is_half_closed or exchange.backend is None or not exchange.backend.transport.can_write_eof():
        # TLS knows no half-closes: where the other side cannot be half-closed, the tunnel is over.
        exchange.finish()
        return False
    exchange.is_half_closed = True
    exchange.backend.transport.write_eof()
    watch_silence(client, exchange)
    return True


cdef bint on_backend_half_close(ClientConnection client, Exchange exchange) except -1:
    """The backend will send no more; the client may. Returns whether the backend's side stays open for writing."""
    if (
        exchange.is_half_closed or client.transport is None
        or not (client.transport.can_write_eof() and exchange.backend.transport.can_write_eof())
    ):
        exchange.finish()
        return False
    exchange.is_half_closed = True
    client.transport.write_eof()
    watch_silence(client, exchange)
    return True
