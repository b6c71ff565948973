# HTTP2BackendConnection: a connection of HTTP/2 to one endpoint, and the exchanges that are streams of it.
#
# It is dialled for the first of them. Those that come while it is dialled wait for it, and for the peer's SETTINGS, which say how
# many it carries. From then on it reads whatever comes: a client that does not take its response holds back that stream only.

cdef class HTTP2BackendConnection(DialledConnection):
    def __cinit__(self, DataPlane plane, Endpoint endpoint):
        self.plane = plane
        self.endpoint = endpoint
        self.connection_pool = endpoint.connection_pool()
        self.waiting = deque()
        self.sides = {}
        self.full = []
        self.limit = BACKEND_STREAMS_MAX

    def __repr__(self):
        state = "closed" if self.is_closed else "leaving" if self.is_leaving else "open" if self.is_open else "dialling"
        return f"<HTTP2BackendConnection {self.endpoint.address} {state}: {len(self.sides)}, {len(self.waiting)} waiting>"

    # --- streams

    cdef bint has_room(self) except -1:
        """Whether it may carry one more stream, now or when it is open."""
        if self.is_closed or self.is_leaving:
            return False
        if not self.is_open:
            # Whether it is HTTP/2 at all is not known yet.
            return len(self.waiting) < WAITING_MAX and not (<HTTP2ConnectionPool>self.connection_pool).speaks_http1
        return (
            len(self.sides) < self.limit and self.held < BACKEND_CROWDED and self.served < BACKEND_STREAMS_TOTAL
            # Where something waits to be read, that may be a GOAWAY.
            and not (self.is_idle and self.has_ended())
        )

    cdef int join(self, HTTP2BackendSide side) except -1:
        """Carry this side's exchange, now or when it is open."""
        cdef Exchange exchange = side.exchange
        if self.is_open:
            return exchange.on_backend_ready()
        self.waiting.append(side)
        exchange.round_trip.on_dial()
        return self.dial() if self.dialling is None and self.transport is None else 0

    cdef int begin_stream(self, HTTP2BackendSide side) except -1:
        """Send the head of a request, whose fields have been read; its body goes through the side's `output`."""
        if self.is_idle:
            self._leave_idle()
        side.was_kept = self.served > 0
        side.stream = self.session.submit(side.output)
        self.sides[side.stream] = side
        self.served += 1
        self.is_probed = False
        self._watch()
        return self.write_soon()

    cdef int drop(self, HTTP2BackendSide side, int code) except -1:
        """It has let go of its exchange. A stream that is not over is reset with `code`: nobody waits for it any more."""
        if side.stream == 0:
            if side in self.waiting:
                self.waiting.remove(side)
                if not self.waiting and self.transport is None:
                    return self.abort()
            return 0
        if self.sides.pop(side.stream, None) is None:
            return 0
        if side.is_request_full:
            self.full.remove(side)
        if self.is_closed:
            return 0
        if not side.is_complete():
            self.session.reset(side.stream, code)
            self.write_soon()
        return self._on_stream_over()

    cdef int _on_stream_over(self) except -1:
        if self.sides or self.is_closed or not self.is_open:
            return 0
        return self._close() if self.is_leaving else self._become_idle()

    cdef int _become_idle(self) except -1:
        cdef Settings settings = self.plane.settings
        cdef HTTP2ConnectionPool pool = <HTTP2ConnectionPool>self.connection_pool
        if not settings.backend_keep_alive or pool.count_idle() >= settings.max_idle_per_endpoint:
            return self._close()
        self.is_idle = True
        self.plane.counters[COUNTER_IDLE_BACKEND_CONNECTIONS] += 1
        self.arm(self.plane.backend_idles)
        return 0

    cdef int _leave_idle(self) except -1:
        if self.is_idle:
            self.is_idle = False
            self.plane.counters[COUNTER_IDLE_BACKEND_CONNECTIONS] -= 1
            self.disarm()
        return 0

    # --- dial

    cdef object tls_context(self):
        return self.plane.settings.backend_http2_tls

    cdef int on_dialled(self, object transport) except -1:
        cdef HTTP2BackendSide side
        DialledConnection.on_dialled(self, transport)
        if self.raw is not None:
            for side in self.waiting:
                side.exchange.round_trip.on_dialled()
        return 0

    cdef int on_secured(self) except -1:
        cdef HTTP2BackendSide side
        for side in self.waiting:
            side.exchange.round_trip.on_secured()
        return 0

    cdef DialledConnection agreed(self, object tls):
        cdef HTTP2ConnectionPool pool = <HTTP2ConnectionPool>self.connection_pool
        cdef BackendConnection successor
        pool.speaks_http1 = tls.selected_alpn_protocol() != "h2"
        if not pool.speaks_http1:
            return self
        successor = BackendConnection(self.plane, self.endpoint)
        self._end()
        self.plane.backends.discard(self)
        successor.take_over(self, (<HTTP2BackendSide>self.waiting.popleft()).let_go() if self.waiting else None)
        self._turn_away()
        return successor

    cdef int on_dial_failed(self, Failure failure) except -1:
        cdef HTTP2BackendSide side
        DialledConnection.on_dial_failed(self, failure)
        self._end()
        for side in self.waiting:
            side.exchange.round_trip.on_dial_failed()
        return self._lose(failure)

    cdef int _turn_away(self) except -1:
        """Those that wait go on elsewhere, in the same attempt."""
        cdef Exchange exchange
        while self.waiting:
            exchange = (<HTTP2BackendSide>self.waiting.popleft()).let_go()
            try:
                exchange.round_trip.send(exchange, True)
            except Exception as error:
                respond_panic(exchange, error)
        return 0

    cdef int on_connection(self) except -1:
        self.dialling = None
        self.disarm()
        if self.is_closed:
            return self.abort_transport()
        if self.raw is None:
            self.on_dialled(self.transport)
        self.attach(self.raw)
        self.session = HTTP2BackendSession(self.plane.settings)
        # For the peer's SETTINGS.
        self.arm(self.plane.handshakes)
        return self._write_out()

    cdef int on_settings(self, int64_t limit) except -1:
        """The peer has said how many streams it carries at a time; -1: as many as before."""
        cdef Exchange exchange
        if limit >= 0:
            self.limit = <int>min(limit, <int64_t>BACKEND_STREAMS_MAX)
        if self.is_open:
            return 0
        if self.limit == 0:
            self._lose(Failure(FAILURE_INCOMPLETE, "http2: server allows no streams"))
            return self._close()
        self.disarm()
        self.is_open = True
        while self.waiting and len(self.sides) < self.limit:
            exchange = (<HTTP2BackendSide>self.waiting.popleft()).exchange
            try:
                exchange.on_backend_ready()
            except Exception as error:
                respond_panic(exchange, error)
        self._turn_away()
        return self._on_stream_over()

    # --- asyncio.Protocol

    cdef int on_data(self, bytes data) except -1:
        self.begin_read(PyBytes_GET_SIZE(data))
        try:
            if self.unread is not None or self.must_wait() or self.session.has_events():
                self.keep_for_turn(data)
            else:
                self._consume(data)
        except Exception as error:
            self.on_panic(error)
        return self.end_read(PyBytes_GET_SIZE(data))

    def eof_received(self):
        if self.unread is not None or (self.session is not None and self.session.has_events()):
            self.has_eof = True
            return True
        return False

    def connection_lost(self, error):
        cdef bytes data
        self._end()
        self.plane.backends.discard(self)
        error = self.detach(error)
        try:
            # It came before the end.
            while self.session is not None and self.session.has_events():
                self._work_off(False)
            while self.unread is not None:
                data = self.unread
                self.unread = None
                self._consume(data)
            self._on_end(error)
        except Exception as fault:
            self.on_panic(fault)
        self.raw = None

    cdef int on_turn(self) except -1:
        cdef bytes data = self.unread
        self.is_working = True
        if self._work_off(False) and data is not None:
            self.unread = None
            self._consume(data)
        self._after_work()
        if self.has_eof and self.unread is None and not self.session.has_events() and not self.is_closed:
            self.close_transport()
        return 0

    cdef int on_full(self) except -1:
        return 0

    cdef int on_room(self) except -1:
        return self._write_out() if self.session is not None and not self.is_closed else 0

    cdef int on_panic(self, object error) except -1:
        """A fault of ours in what is about the connection ends it, and every exchange on it."""
        self.is_working = False
        log_panic(self.plane, error)
        self.abort()
        return self._lose(Failure(FAILURE_EOF, "EOF"))

    # --- what is received

    cdef int _consume(self, bytes data) except -1:
        """Work on `data`. What takes too long waits for a turn."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = 0
        self.is_working = True
        if self.queue is self.plane.ping_answers:
            # Any byte is a sign of life.
            self.is_probed = True
        try:
            while at < size and self.session is not None:
                at = self.session.receive(data, at)
                if not self._work_off(at < size) or (at < size and self.transport is not None and self.is_share_spent()):
                    if at < size:
                        self.keep_for_turn(data[at:])
                    break
        except BrokenSessionError as error:
            self._on_broken(str(error))
        return self._after_work()

    cdef bint _work_off(self, bint has_more) except -1:
        """What the session has reported. Returns whether that is all; otherwise the rest waits for a turn."""
        while self.session.has_events():
            if has_more and self.session.has_head_last():
                # With what follows it goes out in one write.
                break
            self.session.work_off(self)
            if self.session.has_events() and self.transport is not None and self.is_share_spent():
                self.wait_for_turn()
                return False
        return True

    cdef int _after_work(self) except -1:
        """All that was to be written meanwhile goes out in one write."""
        self.is_working = False
        if self.is_closed:
            return 0
        self._watch()
        return self._write_out()

    cdef int on_farewell(self, int last, uint32_t code, bytes text) except -1:
        """GOAWAY: streams beyond `last` were not looked at, which the session tells each of them; the others go on."""
        self.is_leaving = True
        (<HTTP2ConnectionPool>self.connection_pool).forget(self)
        self.farewell = (
            f"http2: server sent GOAWAY and closed the connection; LastStreamID={last}, ErrCode={error_name(code)}, "
            f"debug={go_quoted(text)}"
        )
        return self._on_stream_over()

    cdef int on_data_ignored(self, int stream, Py_ssize_t size) except -1:
        """DATA of a stream whose exchange has ended."""
        return self.session.acknowledge(stream, size) if not self.is_closed else 0

    cdef int _on_broken(self, str what) except -1:
        """The peer breaks the protocol, or what it has sent is none."""
        self._end()
        self._lose(Failure(FAILURE_BAD_RESPONSE, f"http2: connection error: {what}"))
        return self._shut()

    # --- what is written

    cdef int write_gathered(self) except -1:
        self.is_write_due = False
        if self.is_closed:
            return 0
        if self.waits_for_turn:
            return self._write_out()
        self.begun_ns = 0
        self.is_working = True
        self._work_off(False)
        self.begun_ns = 0
        if not self.is_closed and self.session.is_over() and not self.session.has_events():
            self.is_working = False
            return self._close() if self.farewell is not None and not self.sides else self._on_broken("PROTOCOL_ERROR")
        return self._after_work()

    cdef int _write_out(self) except -1:
        cdef bytes data
        while not self.is_write_paused and self.transport is not None:
            data = self.session.output(OUTPUT_SLICE)
            if PyBytes_GET_SIZE(data) == 0:
                break
            self.write_out(data)
        if PyList_GET_SIZE(self.full) > 0:
            self._look_for_room()
        if self.session.has_events() or self.session.is_over():
            # A stream, or a peer, that has broken the rules ends with the frame that says so.
            self.write_soon()
        return 0

    cdef int _look_for_room(self) except -1:
        cdef HTTP2BackendSide side
        for side in list(self.full):
            if side.is_request_full and not side.is_too_much(self.plane.settings.max_buffered // 2):
                self.full.remove(side)
                try:
                    side.on_room()
                except Exception as error:
                    side.on_panic(error)
        return 0

    # --- waits

    cdef int _watch(self) except -1:
        """Let a peer that says nothing while it is asked for something be sent a PING, but only one.

        Servers of gRPC take many in a row for an attack, and a stream may be silent for hours.
        """
        if self.sides and not self.is_probed:
            self.arm(self.plane.pings)
        elif self.queue is self.plane.pings or self.queue is self.plane.ping_answers:
            self.disarm()
        return 0

    cdef on_deadline(self, DeadlineQueue queue):
        if queue is self.plane.handshakes and self.dialling is None:
            self._lose(Failure(FAILURE_HANDSHAKE_TIMEOUT, "http2: timeout awaiting SETTINGS"))
            self.abort()
        elif queue is self.plane.dials or queue is self.plane.handshakes:
            self.on_late_dial(queue)
        elif self.is_closed:
            self.abort_transport()
        elif queue is self.plane.pings:
            self.session.ping()
            self.arm(self.plane.ping_answers)
            self._write_out()
        elif queue is self.plane.ping_answers:
            self._lose(Failure(FAILURE_RESET, "http2: client connection lost"))
            self.abort()
        else:
            self._close()

    # --- endings

    cdef int _end(self) except -1:
        """It serves nobody from now on."""
        self._leave_idle()
        self.disarm()
        self.is_closed = True
        return (<HTTP2ConnectionPool>self.connection_pool).forget(self)

    cdef int _close(self) except -1:
        """End it with a GOAWAY, once everything written is out."""
        if self.is_closed:
            return 0
        self._end()
        if self.session is not None:
            self.session.leave()
        return self._shut()

    cdef int _shut(self) except -1:
        """Write what the session has left to say, such as the reason, and close."""
        cdef bytes last_words
        if self.transport is not None:
            last_words = self.session.output(OUTPUT_SLICE)
            if PyBytes_GET_SIZE(last_words):
                self.write_out(last_words)
            self.arm(self.plane.closings)
            self.close_transport()
        return 0

    cdef int abort(self) except -1:
        if self.is_closed:
            return 0 if self.transport is None else self.abort_transport()
        self._end()
        if self.dialling is not None:
            self.dialling.cancel()
            self.dialling = None
            self.plane.backends.discard(self)
        if self.transport is not None:
            self.abort_transport()
        return 0

    cdef int stop(self) except -1:
        if self.is_open and not self.is_closed and not self.is_write_paused:
            # What is written before an abort gets there.
            self.session.leave()
            self.write_out(self.session.output(OUTPUT_SLICE))
        return self.abort()

    cdef int _on_end(self, object error) except -1:
        """The connection is lost."""
        if error is None and self.farewell is not None:
            return self._lose(Failure(FAILURE_EOF, self.farewell))
        if error is None:
            return self._lose(Failure(FAILURE_EOF, "unexpected EOF"))
        if not isinstance(error, OSError):
            # What the loop makes of a fault of ours.
            return self.on_panic(error)
        return self._lose(self.failure_of(error))

    cdef int _lose(self, Failure failure) except -1:
        """Give up all exchanges; those whose responses are here only wait for their clients."""
        cdef HTTP2BackendSide side
        cdef int kind = failure.kind
        for side in list(self.sides.values()):
            if not side.has_ended:
                side.lose(Failure(kind, failure.text), HTTP2_CANCEL)
        # To those that wait it is a connection that was never there.
        if kind == FAILURE_EOF or kind == FAILURE_BAD_RESPONSE:
            kind = FAILURE_INCOMPLETE
        elif kind == FAILURE_RESET:
            kind = FAILURE_HANDSHAKE_RESET
        while self.waiting:
            (<HTTP2BackendSide>self.waiting.popleft()).lose(Failure(kind, failure.text), HTTP2_CANCEL)
        return 0
