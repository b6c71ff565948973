# ClientConnection: one client socket. Its requests are taken strictly one after the other.
#
# Received bytes are `pending` (being walked, from `at` on) and then `backlog` (not looked at yet: a head that is not complete, or
# whatever arrived while an exchange was under way). Both together are bounded: beyond `max_buffered` reading stops.

cdef class ClientConnection(AcceptedConnection):
    def __cinit__(self, DataPlane plane):
        self.plane = plane
        self.identity = ClientIdentity()

    def __repr__(self):
        if self.exchange is not None:
            state = repr(self.exchange)
        elif self.transport is None:
            state = "closed" if self.is_closing else "unconnected"
        elif self.is_closing or self.is_lingering:
            state = "closing"
        elif self.is_discarding:
            state = "discarding a body"
        elif self.awaits_route:
            state = "waiting for a route"
        elif self._unconsumed():
            state = "reading a head"
        else:
            state = "idle" if self.is_used else "new"
        return f"<ClientConnection {'of nobody' if self.identity.address is None else self.identity.address.decode()} {state}>"

    # --- asyncio.Protocol

    cdef int on_data(self, bytes data) except -1:
        self.begin_read(PyBytes_GET_SIZE(data))
        if self.tunnel is not None:
            self.tunnel.on_client_data(data)
        elif self.is_lingering:
            self._discard(PyBytes_GET_SIZE(data))
        elif self.backlog is not None:
            self._gather(data)
        elif self.pending is not None:
            self.backlog = bytearray(data)
            self.adjust_reading()
        else:
            self.pending = data
            self.at = 0
            self._work()
        return self.end_read(PyBytes_GET_SIZE(data))

    def eof_received(self):
        cdef Exchange exchange = self.exchange
        if self.is_closing:
            return False
        if self.has_eof:
            return True
        if exchange is None:
            # Requests that wait for their turn still get their responses.
            self.has_eof = self.waits_for_turn and self._unconsumed() > 0
            if not self.has_eof:
                self._note_incomplete()
            return self.has_eof
        if self.tunnel is not None:
            return self.tunnel.on_client_half_close()
        if self.framing.is_done:
            # Requests it has sent already still get their responses; only then is the connection over.
            self.has_eof = True
            self._watch_half_close()
            return True
        self.is_closing = True
        exchange.on_client_gone(None)
        return False

    def connection_lost(self, error):
        error = self.on_lost(error)
        self.is_closing = True
        self.plane.resetting.discard(self)
        try:
            self._on_end(error)
        except Exception as fault:
            self.on_panic(fault)
        self.drop_validator()
        self.pending = None
        self.backlog = None
        # Connection and side refer to each other.
        self.side = None

    cdef on_deadline(self, DeadlineQueue queue):
        # Idle too long, a head too slow, or a peer that neither reads nor hangs up: nothing more is said.
        if queue is self.plane.lingerings and self.count_unwritten() > 0:
            # It is still taking its response.
            self.arm(self.plane.closings)
        elif queue is self.plane.half_closes:
            self._on_half_close_over()
        elif queue is self.plane.tunnel_silences:
            self.tunnel.on_silence()
        elif queue is not self.plane.stalls or self.is_stalled():
            if queue is self.plane.header_reads:
                self._note_incomplete()
            self.abort()

    cdef int _watch_half_close(self) except -1:
        self.written_before = -1
        self.arm(self.plane.half_closes)
        return 0

    cdef int _on_half_close_over(self) except -1:
        """A half-closed client has got nothing for some time. One that has left altogether looks the same, so it is given up."""
        cdef Exchange exchange = self.exchange
        if exchange is None or self.is_write_paused:
            return self.watch_stall()
        if exchange.response.is_started and exchange.response.bytes_sent != self.written_before:
            self.written_before = exchange.response.bytes_sent
            self.arm(self.plane.half_closes)
            return 0
        self.is_closing = True
        exchange.on_client_gone(None)
        self.close_transport()
        return 0

    cdef int on_panic(self, object error) except -1:
        """A fault of ours in a callback: a response, if a request waits for one, and the end of the connection."""
        if self.exchange is not None:
            self.exchange.response.close_after()
            return respond_panic(self.exchange, error)
        self.abort()
        return log_panic(self.plane, error)

    # --- what the network says

    cdef int on_connection(self) except -1:
        if not self.on_accepted():
            return 0
        self.side = HTTP1ClientSide(self.identity, self)
        return 0 if self.identity.is_tls else self.plane.turns.add_new_connection(self)

    cdef int on_full(self) except -1:
        if self.queue is self.plane.tunnel_silences:
            # A connection waits in one queue at a time, and the stall watch is to be this one.
            self.disarm()
        return self.exchange.on_client_full() if self.exchange is not None else 0

    cdef int on_room(self) except -1:
        if self.exchange is None:
            return self._advance()
        if self.has_eof:
            self._watch_half_close()
        return self.exchange.on_client_room()

    cdef int on_turn(self) except -1:
        return 0 if self.is_closing else self._advance()

    cdef int _on_end(self, object error) except -1:
        if error is not None and not isinstance(error, OSError):
            # What the loop makes of a fault of ours.
            return self.on_panic(error)
        if self.exchange is not None:
            self.exchange.on_client_gone(error)
        return 0

    # --- writing

    cdef int write(self, object data) except -1:
        if self.transport is not None and not self.is_closing:
            self.write_out(data)
        return 0

    # --- walking what was received

    cdef Py_ssize_t _unconsumed(self) noexcept:
        cdef Py_ssize_t size = 0
        if self.pending is not None:
            size = PyBytes_GET_SIZE(self.pending) - self.at
        if self.backlog is not None:
            size += PyByteArray_GET_SIZE(self.backlog)
        return size

    cdef bytes begin_tunnel(self, Tunnel tunnel):
        """From now on what comes is the tunnel's. Returns what has come already."""
        cdef bytes received = b""
        self.tunnel = tunnel
        self.drop_validator()
        self.disarm()
        self.watch_stall()
        framing_start(&self.framing, FRAMING_UNTIL_CLOSE, -1)
        if self.pending is not None:
            received = self.pending[self.at:]
        if self.backlog is not None:
            received += bytes(self.backlog)
        self.pending = None
        self.backlog = None
        return received

    cdef int _note_incomplete(self) except -1:
        """No more is read. A part of a head that has come is counted and logged as a request refused without a response."""
        if self.backlog is not None and self.exchange is None and not (
            self.is_closing or self.is_lingering or self.is_discarding
        ):
            note_refusal(self, bytes(self.backlog[:INCOMPLETE_LOOK_MAX]), REFUSAL_INCOMPLETE_HEADER, 0, 0)
        return 0

    cdef int _gather(self, bytes data) except -1:
        """More bytes behind a backlog: the rest of a head, or the next requests of a pipeline."""
        cdef bytearray backlog = self.backlog
        cdef Py_ssize_t searched = PyByteArray_GET_SIZE(backlog)
        backlog += data
        if self.exchange is not None or self.pending is not None:
            return self.adjust_reading()
        # Only the new bytes are searched for the end of the head, or one byte at a time would cost a square.
        if find_head_end(PyByteArray_AS_STRING(backlog), PyByteArray_GET_SIZE(backlog), searched) >= 0:
            return self._work()
        if PyByteArray_GET_SIZE(backlog) > self.plane.settings.max_received_head:
            return refuse(self, bytes(backlog[:REFUSED_LOOK_MAX]), REFUSAL_HEADER_TOO_LARGE, 431, b"")
        if PyByteArray_GET_SIZE(backlog) > LARGE_HEAD and (
            not self.plane.large_heads.admit(self, PyByteArray_GET_SIZE(backlog))
        ):
            return self.refuse_large_head()
        return 0

    cdef int _work(self) except -1:
        """Go on with the bytes that have come, now or in a later turn."""
        return self.wait_for_turn() if self.must_wait() else self._advance()

    cdef int _advance(self) except -1:
        """Walk on as far as possible: body bytes to the exchange, then the next request, and so on."""
        if self.is_advancing:
            return 0
        self.is_advancing = True
        try:
            while not self.is_closing and not self.is_lingering and not self.waits_for_turn:
                if self.pending is None:
                    if self.backlog is None:
                        break
                    self.pending = bytes(self.backlog)
                    self.backlog = None
                    self.at = 0
                if self.exchange is None and not self.is_discarding:
                    if self.is_write_paused or not self._begin():
                        break
                elif self.framing.is_done:
                    break
                elif not self._take_body():
                    break
                if self.pending is not None and self.at >= PyBytes_GET_SIZE(self.pending):
                    self.pending = None
                if (self.pending is not None or self.backlog is not None) and self.is_share_spent():
                    self.wait_for_turn()
        finally:
            self.is_advancing = False
        if self.has_eof and self.exchange is None and self.pending is None and not self.is_lingering:
            # What is left is no whole request.
            self._note_incomplete()
            return self.close_after_write()
        return self.adjust_reading()

    cdef bint _begin(self) except -1:
        """Take the next request off `pending`. False: its head is not complete yet, or it was refused."""
        cdef bytes data = self.pending
        cdef const char* base = PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = self.at
        cdef Settings settings = self.plane.settings
        cdef Head head = request_head
        cdef bytes raw
        cdef Exchange exchange
        cdef LargeHead large_head = None
        # Empty lines in front of a request are forgiven (RFC 9112 section 2.2).
        while at < size and (base[at] == c"\r" or base[at] == c"\n"):
            at += 1
        if at == size:
            self.at = at
            if self.queue is not self.plane.header_reads:
                # They are no request yet, but whoever sends them begins one.
                self.arm(self.plane.header_reads)
            return True
        if head.scan(base + at, size - at, settings.max_request_headers + 1) == VERDICT_INCOMPLETE:
            if size - at > settings.max_received_head:
                refuse(self, data[at : at + REFUSED_LOOK_MAX], REFUSAL_HEADER_TOO_LARGE, 431, b"")
                return False
            # A client that speaks something else (TLS, say) gets its response at once.
            if not _is_token[<unsigned char>base[at]]:
                refuse(self, data[at : at + REFUSED_LOOK_MAX], REFUSAL_MALFORMED, 400, b"")
                return False
            if self.backlog is not None:
                # More came while the exchange before was under way.
                self.pending = data[at:] + self.backlog
                self.backlog = None
                self.at = 0
                return True
            self.backlog = bytearray(data[at:])
            self.pending = None
            if size - at > LARGE_HEAD and not self.plane.large_heads.admit(self, size - at):
                self.refuse_large_head()
                return False
            if self.queue is not self.plane.header_reads:
                self.arm(self.plane.header_reads)
            return False
        if head.length > settings.max_received_head:
            refuse(self, data[at : at + REFUSED_LOOK_MAX], REFUSAL_HEADER_TOO_LARGE, 431, b"")
            return False
        if head.length > LARGE_HEAD:
            large_head = self.plane.large_heads.complete(self, head.length)
            if large_head is None:
                refuse(self, data[at : at + REFUSED_LOOK_MAX], REFUSAL_HEADER_MEMORY, 431, b"")
                return False
        raw = data if at == 0 and head.length == size else base[at : at + head.length]
        self.at = at + head.length
        if not check_request(self, raw, head):
            return False
        if head.target.length == 1 and head.base[head.target.start] == c"*":
            return respond_options(self, raw, head)
        self.disarm()
        if self.has_eof:
            self._watch_half_close()
        exchange = new_exchange(self.side, self.plane)
        exchange.on_request(raw, head, self.framing.kind)
        exchange.request.set_large_head(large_head)
        if exchange.request.path.start != head.target.start:
            # The checks have not looked at the authority of an absolute-form target.
            if not is_authority(PyBytes_AS_STRING(raw) + exchange.request.host.start, exchange.request.host.length):
                refuse(self, raw, REFUSAL_BAD_HOST, 400, b"")
                return False
        if self.plane.settings.route_patience > 0 and self._awaits_route(exchange, head):
            self.at = at
            return False
        self.exchange = exchange
        exchange.request.set_first(not self.is_used)
        self.is_used = True
        if self.plane.is_draining or not self.keep_alive:
            exchange.response.close_after()
        serve(exchange, head)
        return True

    cdef bint _awaits_route(self, Exchange exchange, Head head) except -1:
        """Whether the request is put off because there is no route for it yet. A request is put off once at most."""
        if self.has_awaited_route:
            self.has_awaited_route = False
            return False
        if not lacks_route(exchange, head):
            return False
        self.drop_validator()
        self.awaits_route = self.waits_for_turn = True
        self.plane.route_waits.add(self, exchange)
        return True

    cdef int on_route(self, bint is_there) except -1:
        self.awaits_route = False
        self.has_awaited_route = not is_there
        return self.plane.turns.add(self)

    cdef bint _take_body(self) except -1:
        """Hand the body bytes at hand to the exchange. False: it can take no more now, or the client broke the framing."""
        cdef Exchange exchange = self.exchange
        cdef bytes data = self.pending
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data) - self.at
        cdef Py_ssize_t used
        cdef int64_t payload = 0
        cdef bytes framed
        cdef bytearray trailer = None
        if exchange is not None and not exchange.can_take_body():
            return False
        if self.framing.kind == FRAMING_LENGTH:
            used = min(size, self.framing.remaining)
            payload = used
            self.framing.remaining -= used
            self.framing.is_done = self.framing.remaining == 0
            if self.at == 0 and used == PyBytes_GET_SIZE(data):
                framed = data
            else:
                framed = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + self.at, used)
            if not self.validator.accepts(framed):
                return self._break_body()
        else:
            trailer = self.trailer
            if trailer is None:
                trailer = self.trailer = bytearray()
            begin_message()
            used = walk_chunked(&self.framing, PyBytes_AS_STRING(data) + self.at, size, True, &payload, trailer)
            framed = take_message()
            if used < 0 or not self.validator.accepts(memoryview(data)[self.at : self.at + used]):
                return self._break_body()
            if self.framing.is_done:
                framed += last_chunk(trailer)
                self.trailer = None
        if self.framing.is_done != self.validator.message_complete:
            return self._break_body()
        self.at += used
        if exchange is not None:
            exchange.on_body(framed, payload, self.framing.is_done)
        elif self.framing.is_done:
            self.end_message()
        else:
            self._discard(used)
        return True

    cdef bint _break_body(self) except -1:
        """The body is not what its head announced: no byte of it goes on, and nothing on this connection can be trusted."""
        cdef Exchange exchange = self.exchange
        if exchange is None:
            self.abort()
        else:
            exchange.on_broken_body()
        return False

    cdef int refuse_large_head(self) except -1:
        # One that is complete waits in `pending` while the client takes nothing of the response before.
        cdef object head = self.backlog if self.pending is None else memoryview(self.pending)[self.at :]
        return refuse(self, bytes(head[:REFUSED_LOOK_MAX]), REFUSAL_HEADER_MEMORY, 431, b"")

    # --- what the router asks

    cdef bint is_active(self) noexcept:
        if self.exchange is not None:
            return self.tunnel is None
        return (
            self.backlog is not None or self.pending is not None or self.is_closing or self.is_lingering or self.is_discarding
        )

    cdef bint is_idle(self) noexcept:
        return self.is_used and self.exchange is None and not self.is_active()

    cdef int drain(self, bint closes_idle) except -1:
        if closes_idle and self.is_idle() and not self.has_unread():
            self.close_after_write()
        return 0

    # --- what the exchange asks for

    cdef int on_body_room(self) except -1:
        """The exchange can take body bytes again."""
        if self.pending is not None or self.backlog is not None:
            self._advance()
        else:
            self.adjust_reading()
        return 0

    cdef int adjust_reading(self) except -1:
        """Read on only while there is somewhere to put what comes."""
        cdef Exchange exchange = self.exchange
        cdef bint wanted = True
        cdef Py_ssize_t waiting
        if self.transport is None or self.is_closing:
            return 0
        if not self.is_lingering:
            waiting = self._unconsumed()
            if exchange is not None and not self.framing.is_done:
                wanted = waiting == 0 and exchange.can_take_body()
            elif exchange is not None or self.is_write_paused:
                wanted = waiting < self.plane.settings.max_buffered
        return self.let_read(wanted)

    cdef int on_exchange_end(self, bint is_last) except -1:
        """The exchange is over: the next request, the rest of an unwanted body, or the end of the connection."""
        self.exchange = None
        self.tunnel = None
        if self.is_closing or self.is_lingering:
            return 0
        if is_last:
            if self.framing.is_done:
                return self.close_after_write()
            return self._linger()
        if not self.framing.is_done:
            # The response came before the body was read: what is left of the body is read and thrown away, up to DISCARD_MAX.
            self.is_discarding = True
            self.discarded = 0
            self.arm(self.plane.header_reads)
        else:
            self.end_message()
        if not self.is_advancing:
            if self.pending is not None or self.backlog is not None:
                self._advance()
            elif self.plane.closes_idle and self.is_idle() and not self.has_unread():
                self.close_after_write()
            elif self.is_read_paused:
                self.adjust_reading()
        return 0

    cdef int end_message(self) except -1:
        """A request has been read to its end, and its response is out."""
        request_validators.take_back(self.validator)
        self.validator = None
        self.is_discarding = False
        if self.has_eof and not self._unconsumed():
            return self.close_after_write()
        self.arm(self.plane.client_idles)
        return 0

    cdef int _discard(self, Py_ssize_t size) except -1:
        """Bytes nobody wants any more; a client that goes on sending is cut off."""
        self.discarded += size
        if self.discarded > DISCARD_MAX:
            if not self.is_lingering:
                self._linger()
            elif self.count_unwritten() > 0:
                # It is still taking its response; only it is not read any more.
                self.let_read(False)
            else:
                self.abort()
        return 0

    # --- endings

    cdef int write_last(self, bytes message) except -1:
        """Write the last message of this connection; what the client still sends is thrown away."""
        self.write(message)
        return self._linger()

    cdef int _linger(self) except -1:
        """Half-close and read on for a moment: closing with unread bytes would reset the connection and lose the response."""
        if self.transport is None or self.is_lingering:
            return 0
        self.is_lingering = True
        self.discarded = 0
        self.drop_validator()
        self.pending = None
        self.backlog = None
        self.plane.large_heads.leave(self)
        self.transport.write_eof()
        self.adjust_reading()
        self.arm(self.plane.lingerings)
        return 0

    cdef int close_after_write(self) except -1:
        """Close once everything written is out; a peer that does not read is cut off after the idle timeout."""
        if self.transport is not None and not self.is_closing:
            self.is_closing = True
            self.arm(self.plane.closings)
            self.close_transport()
        return 0

    cdef int abort_response(self, bint needs_reset) except -1:
        """Break the connection in the middle of a response, so that the client can tell (spec 4.5).

        Not before it has what was written until now, which may be the end of the response before. `needs_reset`: the body ends
        with the connection, so a plain close would look complete; only a reset does not.
        """
        if self.transport is None or self.is_closing:
            return 0
        if not needs_reset:
            # To close with bytes unread would be a reset, too.
            return self._linger() if self.is_read_stopped or not self.framing.is_done else self.close_after_write()
        self.is_closing = True
        self.let_read(False)
        if self.has_delivered():
            return self.reset()
        self.arm(self.plane.closings)
        self.plane.resetting.add(self)
        return 0

    cdef bint has_delivered(self) except -1:
        """Whether everything written has been acknowledged: a reset takes away what is still on its way."""
        cdef object raw = self.transport.get_extra_info("socket")
        cdef int unacknowledged = 0
        if self.count_unwritten() > 0:
            return False
        return raw is None or ioctl(raw.fileno(), SIOCOUTQ, &unacknowledged) != 0 or unacknowledged == 0

    cdef int reset(self) except -1:
        cdef object raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(SOL_SOCKET, SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return self.abort()
