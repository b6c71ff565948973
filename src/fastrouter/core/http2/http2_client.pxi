# HTTP2ClientConnection: a client that speaks HTTP/2. Each of its streams carries one exchange.
#
# What the client says goes through the session, which says it again as calls below; what the exchanges say goes back through the
# session and is written once, at the end of a wake-up.

cdef class HTTP2ClientConnection(AcceptedConnection):
    def __cinit__(self, DataPlane plane, ClientIdentity identity):
        self.plane = plane
        self.identity = identity
        self.streams = {}
        self.unsent = {}
        self.session = ClientSession(self)

    def __repr__(self):
        cdef str address = "of nobody" if self.identity.address is None else self.identity.address.decode()
        return f"<HTTP2ClientConnection {address} {'closing' if self.is_closing else f'{len(self.streams)} streams'}>"

    # --- asyncio.Protocol

    cdef int on_connection(self) except -1:
        if self.on_accepted():
            self._keep_queue_short()
            self.session.begin()
            if self.plane.is_draining:
                self._begin_drain()
            self.write_soon()
            if not self.identity.is_tls:
                self.plane.turns.add_new_connection(self)
        return 0

    cdef int _keep_queue_short(self) except -1:
        """Let responses wait here, where small ones pass large ones, and not in the kernel, which would take megabytes."""
        cdef object raw = self.transport.get_extra_info("socket")
        if raw is not None and raw.family != AF_UNIX:
            raw.setsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT, <int>HTTP2_NOT_SENT_MAX)
        return 0

    cdef int on_data(self, bytes data) except -1:
        self.begin_read(PyBytes_GET_SIZE(data))
        if self.is_closing:
            self.discarded += PyBytes_GET_SIZE(data)
            if self.discarded > DISCARD_MAX:
                self.abort()
        elif self.must_wait():
            self.keep_for_turn(data)
        else:
            self._receive(data)
        return self.end_read(PyBytes_GET_SIZE(data))

    cdef int on_turn(self) except -1:
        cdef bytes data = self.unread
        self.unread = None
        return 0 if data is None or self.is_closing else self._receive(data)

    def eof_received(self):
        # Streams that wait for their answers are given up, as Go does: a client that waits does not end its connection.
        return False

    def connection_lost(self, error):
        error = self.on_lost(error)
        if not self.is_closing:
            self._note_incomplete()
        self.is_closing = True
        self._leave_streams(error if isinstance(error, OSError) else None)
        self.unread = None
        if error is not None and not isinstance(error, OSError):
            # What the loop makes of a fault of ours.
            log_panic(self.plane, error)
        if self.session is not None:
            self.session.close()
            self.session = None

    cdef on_deadline(self, DeadlineQueue queue):
        if self.is_closing or queue is self.plane.stalls:
            if self.is_closing or self.is_stalled():
                self.abort()
        elif queue is self.plane.lingerings:
            # It has not said that it knows of the end.
            self._end_drain()
        else:
            self._note_incomplete()
            self.shut(HTTP2_NO_ERROR)

    cdef int on_panic(self, object error) except -1:
        self.abort()
        return log_panic(self.plane, error)

    cdef int on_full(self) except -1:
        return self.let_read(False)

    cdef int on_room(self) except -1:
        if not self.is_closing:
            self.write_gathered()
            self._look_at_waits()
        return self.let_read(True)

    cdef int watch_stall(self) except -1:
        """A client that takes nothing at all is not waited for, whatever waits for it."""
        if self.is_write_paused and not self.is_closing:
            self.unwritten = self.count_unwritten()
            self.arm(self.plane.stalls)
        return 0

    cdef int add_exchanges(self, list into) except -1:
        cdef HTTP2ClientSide side
        for side in self.streams.values():
            if side.exchange is not None:
                into.append(side.exchange)
        return 0

    # --- from the client

    cdef int _receive(self, bytes data) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = 0
        self.is_working = True
        try:
            while at < size and not self.session.is_over:
                at = self.session.receive(data, at)
                if at < size and self.is_share_spent():
                    self.keep_for_turn(data[at:])
                    break
        finally:
            self.is_working = False
        self._look_at_block()
        if self.transport is not None and not self.is_closing:
            self.write_gathered()
            self._look_at_waits()
        return 0

    cdef int _look_at_block(self) except -1:
        """A header block of which not all has come takes memory, as a head of HTTP/1 does."""
        cdef Py_ssize_t size = 0 if self.session is None or self.session.is_over else self.session.block_size()
        if size <= LARGE_HEAD:
            return self.plane.large_heads.leave(self)
        return 0 if self.plane.large_heads.admit(self, size) else self.refuse_large_head()

    cdef int refuse_large_head(self) except -1:
        # A block that is not read on would leave both sides with different tables, so it is the end of the connection.
        self.plane.large_heads.leave(self)
        count_refusal(self.plane, REFUSAL_HEADER_MEMORY)
        return self.shut(HTTP2_ENHANCE_YOUR_CALM)

    cdef int open_stream(self, uint32_t number, bytes head, bint is_last, set never_indexed) except -1:
        """A request has come; `is_last`: it has no body."""
        cdef HTTP2ClientSide side
        if len(self.streams) >= HTTP2_STREAMS:
            # Nobody has looked at it, so the client may send it again (RFC 9113 section 5.1.2).
            self.session.reset(number, HTTP2_REFUSED_STREAM)
            return note_refusal(self, head, REFUSAL_TOO_MANY_STREAMS, 0, 0)
        side = HTTP2ClientSide(self.identity, self, number)
        self.streams[number] = side
        try:
            side.begin(head, not is_last, never_indexed)
        except Exception as error:
            side.on_panic(error)
        return 0

    cdef int on_no_request(self, uint32_t number, bytes known) except -1:
        """The head of a stream is none; `known` are lines of it for the log."""
        self.session.reset(number, HTTP2_PROTOCOL_ERROR)
        return note_refusal(self, known, REFUSAL_MALFORMED, 0, 0)

    cdef int on_malformed(self, uint32_t number) except -1:
        """What comes behind the body of a request are no trailers."""
        cdef HTTP2ClientSide side = self.streams.get(number)
        self.session.reset(number, HTTP2_PROTOCOL_ERROR)
        if side is not None:
            try:
                side.break_body()
            except Exception as error:
                side.on_panic(error)
        return 0

    cdef bint refuse_cut_head(self, bytes known, int refusal) except -1:
        """The connection ends within a header block. Whether that was the head of a request, which counts as refused."""
        if self.session.walk.stream <= self.session.last_stream:
            return False
        note_refusal(self, known, refusal, 0, 0)
        return True

    cdef int on_error(self, uint32_t code) except -1:
        """The connection ends with this code, for what the client has sent on it."""
        if code == HTTP2_INADEQUATE_SECURITY:
            count_refusal(self.plane, REFUSAL_TLS_HANDSHAKE)
        elif code == HTTP2_ENHANCE_YOUR_CALM:
            count_refusal(self.plane, REFUSAL_HTTP2_FLOOD)
        elif code != HTTP2_NO_ERROR and code != HTTP2_INTERNAL_ERROR:
            count_refusal(self.plane, REFUSAL_HTTP2_ERROR)
        return 0

    cdef int on_body(self, uint32_t number, const char* data, Py_ssize_t size, bint is_last) except -1:
        cdef HTTP2ClientSide side = self.streams.get(number)
        if side is None:
            return self.session.acknowledge(number, size)
        try:
            side.on_body(data, size, is_last)
        except Exception as error:
            side.on_panic(error)
        return 0

    cdef int on_trailers(self, uint32_t number, bytes lines, set never_indexed) except -1:
        cdef HTTP2ClientSide side = self.streams.get(number)
        if side is not None:
            try:
                side.on_trailers(lines, never_indexed)
            except Exception as error:
                side.on_panic(error)
        return 0

    cdef int on_reset(self, uint32_t number) except -1:
        """The client wants no more of this stream."""
        cdef HTTP2ClientSide side = self.streams.get(number)
        if side is not None:
            try:
                side.on_gone(None)
            except Exception as error:
                side.on_panic(error)
        return 0

    cdef int on_stream_closed(self, uint32_t number, int code) except -1:
        """The stream is over, for the reason `code`."""
        cdef HTTP2ClientSide side = self.streams.pop(number, None)
        if side is None:
            return 0
        self.unsent.pop(side, None)
        if not self.streams:
            # Otherwise both would keep the memory of what they held, and most connections are idle.
            self.streams.clear()
            self.unsent.clear()
        try:
            if code and not side.is_gone:
                # Not the client's reset, so one of the engine's: DATA that is not what content-length says, above all.
                side.break_body()
            side.on_gone(None)
        except Exception as error:
            side.on_panic(error)
        return 0

    cdef int on_ping_answered(self) except -1:
        return self._end_drain()

    # --- to the client

    cdef int write_gathered(self) except -1:
        self.is_write_due = False
        if self.transport is None or self.is_closing:
            return 0
        self.write_now()
        if self.session is None:
            return 0
        self.session.dispatch()
        self._look_at_unsent()
        if self.transport is None or self.is_closing:
            return 0
        if self.session.is_over:
            # Perhaps by what has been written: that makes streams end.
            self.write_now()
            self._linger()
        elif self.drain_stage == DRAIN_LAST and not self.streams:
            self._linger()
        return 0

    cdef int write_now(self) except -1:
        """Write what the session has, while the client takes it."""
        cdef bytes data
        cdef int writes
        for writes in range(HTTP2_WRITES_AT_ONCE):
            if self.is_write_paused or self.transport is None or self.is_closing:
                return 0
            data = self.session.take()
            if PyBytes_GET_SIZE(data) == 0:
                return 0
            self.write_out(data)
        # There may be more, behind what others have to do.
        return self.write_soon()

    cdef int _look_at_unsent(self) except -1:
        """Let those go on whose responses the client has taken, and hold those back of which too much waits."""
        cdef HTTP2ClientSide side
        if not self.unsent:
            return 0
        self.fullness = self._fullness_now()
        for side in list(self.unsent):
            try:
                side.look()
            except Exception as error:
                side.on_panic(error)
            if side.unsent() == 0 and not side.is_held and not side.awaits_end():
                self.unsent.pop(side, None)
        return 0

    cdef int _fullness_now(self) noexcept:
        return <int>(self.session.unsent > HTTP2_ALL_UNSENT_MAX) + <int>(self.session.unsent > HTTP2_MUCH_UNSENT_MAX)

    cdef int on_unsent(self) except -1:
        """More waits for the client: perhaps so much that streams are to be held back that have written nothing now."""
        cdef int fullness = self._fullness_now()
        cdef HTTP2ClientSide side
        if fullness <= self.fullness:
            return 0
        self.fullness = fullness
        for side in list(self.streams.values()):
            # One that is still dialled for is held once it is asked (`HTTP2ClientSide.resume`).
            if side.exchange is not None and side.exchange.round_trip.is_head_sent and self.is_too_much(side):
                self.unsent[side] = None
                side.hold_back()
        return 0

    cdef bint is_too_much(self, HTTP2ClientSide side) noexcept:
        """Whether no more of the response of `side` is to come for now.

        Streams that the client does not take may have HTTP2_ALL_UNSENT_MAX together. As much again is left for those of which it
        has taken everything and would take more, or they would wait for the others for ever.
        """
        if side.unsent() > HTTP2_UNSENT_MAX or self.is_write_paused:
            return True
        if self.fullness == 0:
            return False
        return self.fullness > 1 or side.unsent() > 0 or self.session.window_of(side.number) <= 0

    cdef int _look_at_waits(self) except -1:
        """What this connection waits for now has its deadline."""
        if self.transport is None or self.is_closing or self.is_write_paused or self.drain_stage == DRAIN_NOTICE:
            return 0
        if self.session.is_in_head() or not self.is_used:
            if self.queue is not self.plane.header_reads:
                self.arm(self.plane.header_reads)
        elif self.exchanges:
            self.disarm()
        elif self.queue is not self.plane.client_idles:
            self.arm(self.plane.client_idles)
        return 0

    cdef int on_exchange_end(self) except -1:
        self.exchanges -= 1
        self.write_soon()
        if self.exchanges == 0 and not self.is_working:
            self._look_at_waits()
        return 0

    # --- what the router asks

    cdef bint is_active(self) noexcept:
        return self.exchanges > 0 or self.is_closing or len(self.streams) > 0

    cdef bint is_idle(self) noexcept:
        return self.is_used and not self.is_active()

    cdef int drain(self, bint closes_idle) except -1:
        if self.drain_stage == DRAIN_NONE and not self.is_closing and self.transport is not None:
            self._begin_drain()
            self.write_soon()
        return 0

    cdef int _begin_drain(self) except -1:
        """The client is to know that no more streams are wanted, before those that are on their way are refused."""
        self.drain_stage = DRAIN_NOTICE
        self.session.notify_shutdown()
        self.arm(self.plane.lingerings)
        return 0

    cdef int _end_drain(self) except -1:
        """What has come until now is served, and nothing else."""
        if self.drain_stage == DRAIN_NOTICE:
            self.drain_stage = DRAIN_LAST
            self.session.say_goodbye(HTTP2_NO_ERROR)
            self.disarm()
            self.write_soon()
            self._look_at_waits()
        return 0

    # --- endings

    cdef int _note_incomplete(self) except -1:
        """No more is read. A part of a head that has come is counted and logged as a request refused without a response."""
        if self.session is not None and self.session.is_in_head():
            self.refuse_cut_head(self.session.known_head()[:INCOMPLETE_LOOK_MAX], REFUSAL_INCOMPLETE_HEADER)
        return 0

    cdef int shut(self, int code) except -1:
        """Say why, and end."""
        if not self.is_closing and self.transport is not None:
            self.session.say_goodbye(code)
            self.write_now()
            self._linger()
        return 0

    cdef int _linger(self) except -1:
        """Half-close and read on for a moment: closing with unread bytes would reset the connection and lose the last frame."""
        if self.is_closing or self.transport is None:
            return 0
        self.is_closing = True
        self._leave_streams(None)
        if self.transport is None:
            return 0
        self.transport.write_eof()
        self.let_read(True)
        self.arm(self.plane.lingerings)
        return 0

    cdef int _leave_streams(self, object error) except -1:
        """There are no streams any more."""
        cdef HTTP2ClientSide side
        cdef list sides = list(self.streams.values())
        self.streams.clear()
        self.unsent.clear()
        for side in sides:
            try:
                side.on_gone(error)
            except Exception as fault:
                side.on_panic(fault)
        return 0
