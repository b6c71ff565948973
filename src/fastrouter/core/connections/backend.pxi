# BackendConnection: a connection of HTTP/1 to one endpoint: dialled, busy with one exchange, idle in its pool, or gone.

# So long is the beginning of what a backend sends unasked that tells a notice of its end from anything else.
DEF NOTICE_SIZE = 12

# What Go puts in front of the reason when a connection ends in the middle of a response.
cdef str TRANSPORT_BROKEN = "net/http: HTTP/1.x transport connection broken: "


cdef class BackendConnection(DialledConnection):
    def __cinit__(self, DataPlane plane, Endpoint endpoint):
        self.plane = plane
        self.endpoint = endpoint
        self.connection_pool = endpoint.connection_pool()
        self.side = HTTP1BackendSide(self)

    def __repr__(self):
        if self.is_closed:
            state = "closed" if self.transport is None else "closing"
        elif self.dialling is not None:
            state = "dialling"
        elif self.exchange is not None:
            state = "busy"
        else:
            state = "idle" if self in self.connection_pool.idle or self in self.connection_pool.resting else "unused"
        return f"<BackendConnection {self.endpoint.address} {state}>"

    # --- dial

    cdef int dial(self) except -1:
        self.exchange.round_trip.on_dial()
        return DialledConnection.dial(self)

    cdef int on_dialled(self, object transport) except -1:
        DialledConnection.on_dialled(self, transport)
        if self.exchange is not None and self.raw is not None:
            self.exchange.round_trip.on_dialled()
        return 0

    cdef int on_secured(self) except -1:
        if self.exchange is not None:
            self.exchange.round_trip.on_secured()
        return 0

    cdef int on_dial_failed(self, Failure failure) except -1:
        cdef Exchange exchange = self.exchange
        DialledConnection.on_dial_failed(self, failure)
        self.side = None
        if exchange is not None:
            self.exchange = None
            exchange.round_trip.on_dial_failed()
            exchange.on_backend_lost(failure, False, False)
        return 0

    cdef int take_over(self, DialledConnection dialled, Exchange exchange) except -1:
        """Serve `exchange` on what another has dialled, which has turned out to speak HTTP/1."""
        self.raw = dialled.raw
        self.local_address = dialled.local_address
        self.plane.backends.add(self)
        self.exchange = exchange
        return exchange.change_backend(self.side)

    # --- asyncio.Protocol

    cdef int on_data(self, bytes data) except -1:
        cdef Exchange exchange = self.exchange
        self.begin_read(PyBytes_GET_SIZE(data))
        if exchange is None:
            # Nothing was asked: whatever this is, it must not be taken for the response to the next request.
            if not self.is_closed:
                if is_notice_of_end(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)):
                    self.connection_pool.on_ended(self)
                else:
                    self.on_unsolicited("on an idle connection")
            self.close()
        else:
            try:
                if self.unread is not None or (self.backlog is None and self.must_wait()):
                    self.keep_for_turn(data)
                elif self.backlog is not None:
                    self._continue_head(data)
                else:
                    self._consume(data)
            except Exception as error:
                respond_panic(exchange, error)
        return self.end_read(PyBytes_GET_SIZE(data))

    def eof_received(self):
        cdef Exchange exchange = self.exchange
        if self.unread is not None:
            self.has_eof = True
            return True
        try:
            return self._on_eof(exchange)
        except Exception as error:
            self._panic(exchange, error)
            return False

    def connection_lost(self, error):
        cdef Exchange exchange = self.exchange
        self.connection_pool.on_ended(self)
        self.is_closed = True
        self.disarm()
        self.plane.backends.discard(self)
        error = self.detach(error)
        try:
            while self.unread is not None:
                # These bytes came before the end of the connection.
                self._go_on()
            self._on_end(self.exchange, error)
        except Exception as fault:
            self._panic(exchange, fault)
        self.drop_validator()
        self.raw = None
        # Connection and side refer to each other.
        self.side = None

    cdef int on_panic(self, object error) except -1:
        return self._panic(self.exchange, error)

    cdef int _panic(self, Exchange exchange, object error) except -1:
        """A fault of ours, in a callback that was about `exchange` (None: nobody's), ends this connection."""
        self.exchange = None
        self.tunnel = None
        self.connection_pool.evict(self)
        self.abort()
        return log_panic(self.plane, error) if exchange is None else respond_panic(exchange, error)

    # --- what the network says

    cdef int on_connection(self) except -1:
        self.dialling = None
        self.disarm()
        if self.is_closed:
            self.abort_transport()
            return 0
        if self.raw is None:
            self.on_dialled(self.transport)
        self.attach(self.raw)
        if self.exchange is not None:
            return self.exchange.on_backend_ready()
        # Nobody waits for it any more. The next request can use it as it can use one that was used before.
        return self.close() if self.endpoint.is_route_service else self.connection_pool.release(self)

    cdef int on_full(self) except -1:
        return self.exchange.on_backend_full() if self.exchange is not None else 0

    cdef int on_room(self) except -1:
        return self.exchange.on_backend_room() if self.exchange is not None else 0

    cdef int on_turn(self) except -1:
        if self.unread is not None:
            self._go_on()
        if self.has_eof and self.unread is None and not self.is_closed and not self._on_eof(self.exchange):
            self.close_transport()
        return 0

    cdef int _go_on(self) except -1:
        """Go on with the bytes that were left for this turn."""
        cdef bytes data = self.unread
        cdef Exchange exchange = self.exchange
        self.unread = None
        if exchange is None:
            return self.close()
        try:
            return self._consume(data)
        except Exception as error:
            return respond_panic(exchange, error)

    cdef bint _on_eof(self, Exchange exchange) except -1:
        """The backend will send no more. Returns whether the connection stays open for writing."""
        if exchange is None:
            self.connection_pool.on_ended(self)
            self.close()
            return False
        if self.tunnel is not None:
            return self.tunnel.on_backend_half_close()
        if self.is_in_body and self.framing.kind == FRAMING_UNTIL_CLOSE:
            self._finish_until_close(exchange)
            return False
        self._lose(Failure(FAILURE_EOF, "unexpected EOF" if self.is_in_body else "EOF"))
        return False

    cdef int _on_end(self, Exchange exchange, object error) except -1:
        if exchange is None:
            return self.connection_pool.evict(self)
        if error is not None and not isinstance(error, OSError):
            # What the loop makes of a fault of ours.
            return self._panic(exchange, error)
        if error is None and self.is_in_body and self.framing.kind == FRAMING_UNTIL_CLOSE:
            # TLS that ends without its closing alert: Go takes that for an end, and so do apps (spec 4.5).
            return self._finish_until_close(exchange)
        if error is None:
            return self._lose(Failure(FAILURE_EOF, "EOF"))
        return self._lose(self.failure_of(error))

    # --- what the exchange asks for

    cdef int release(self) except -1:
        """Back to the pool after an exchange that ended cleanly, if the backend keeps it open."""
        if self.is_closed or not self.is_reusable or self.is_write_paused or self.unread is not None:
            return self.close()
        if is_distrusted(self.endpoint, self.plane.settings):
            return self.close()
        self.is_in_body = False
        self.is_reusable = False
        self.has_bytes = False
        self.was_used = True
        self.is_heavy = False
        self.let_read(True)
        return self.connection_pool.release(self)

    cdef bint is_usable(self) except -1:
        """Whether the next request may go over this idle connection, by all that is known of it now."""
        if is_distrusted(self.endpoint, self.plane.settings):
            return False
        if not self.has_ended():
            return True
        self.connection_pool.idle_limit.on_end(self.idle_ns(monotonic_ns()))
        if self.raw is self.transport:
            # Below TLS they may be no more than an alert.
            self._look_for_unsolicited()
        return False

    cdef int _look_for_unsolicited(self) except -1:
        """Look what there is in the socket, if anything, though nobody has asked for it."""
        cdef char start[NOTICE_SIZE]
        cdef Py_ssize_t size = recv(self.descriptor, start, sizeof(start), MSG_PEEK | MSG_DONTWAIT)
        if size > 0 and not is_notice_of_end(start, size):
            self.on_unsolicited("on an idle connection")
        return 0

    cdef int on_unsolicited(self, str where) except -1:
        """The backend has sent bytes that nobody asked for: it may do so again, when the next request is on its way."""
        cdef DataPlane plane = self.plane
        plane.counters[COUNTER_UNSOLICITED] += 1
        if plane.settings.backend_keep_alive and plane.settings.distrust_memory_ns > 0 and self.endpoint.distrust(plane.settings):
            plane.log(LOG_WARN, "endpoint-distrusted", {
                "Addr": self.endpoint.address, "ApplicationId": self.endpoint.app_id, "unsolicited-bytes": where,
                "for": plane.settings.distrust_memory,
            })
        return 0

    cdef int close(self) except -1:
        """End it, letting written bytes out first; a backend that does not take them is cut off after the idle timeout."""
        self.disarm()
        if not self.is_closed:
            self.is_closed = True
            self.connection_pool.evict(self)
            if self.transport is not None:
                self.arm(self.plane.closings)
                self.close_transport()
        return 0

    cdef int abort(self) except -1:
        """End it now: what it still carries is of no use to anybody."""
        self.disarm()
        if not self.is_closed:
            self.is_closed = True
            if self.dialling is not None:
                # The task and this connection refer to each other.
                self.dialling.cancel()
                self.dialling = None
                self.plane.backends.discard(self)
            if self.transport is None:
                # Without a transport `connection_lost` is not called, which would do this.
                self.side = None
            else:
                self.abort_transport()
        self.drop_validator()
        return 0

    cdef on_deadline(self, DeadlineQueue queue):
        if queue is self.plane.dials or queue is self.plane.handshakes:
            self.on_late_dial(queue)
        elif self.is_closed:
            self.abort_transport()
        elif queue is not self.plane.stalls:
            self.close()
        elif self.is_stalled():
            self._lose(Failure(FAILURE_TIMEOUT, "context deadline exceeded"))

    # --- reading a response

    cdef int _lose(self, Failure failure) except -1:
        """Give up the exchange: this connection cannot serve it to its end."""
        cdef Exchange exchange = self.exchange
        self.exchange = None
        self.tunnel = None
        if exchange is not None and self.was_used and not self.has_bytes and failure.kind in (FAILURE_EOF, FAILURE_RESET):
            self._note_loss(exchange)
        if self.has_bytes and not self.is_in_body and failure.kind in (FAILURE_EOF, FAILURE_RESET):
            if failure.kind == FAILURE_RESET and self.backlog is None:
                # Behind an interim response: the backend is marked, as if it had said nothing.
                failure = Failure(FAILURE_RESET, TRANSPORT_BROKEN + failure.text)
            else:
                # However a head breaks off, to Go it is a bad response, and nobody is marked for it.
                failure = Failure(FAILURE_BAD_RESPONSE, TRANSPORT_BROKEN + "unexpected EOF")
        self.abort()
        if exchange is not None:
            exchange.on_backend_lost(failure, self.was_used, self.has_bytes)
        return 0

    cdef int64_t idle_ns(self, int64_t now_ns) noexcept:
        """How long it has been idle, or how long it had been when it was taken at `now_ns`."""
        return now_ns + self.plane.backend_idles.timeout_ns - self.expires_ns

    cdef int _note_loss(self, Exchange exchange) except -1:
        """`exchange` was lost with this connection, which had served others before."""
        cdef int64_t now = monotonic_ns()
        cdef int64_t sent = exchange.round_trip.attempt_ns
        cdef int64_t idle = self.idle_ns(sent)
        if self.connection_pool.idle_limit.on_lost(idle, now - sent, now):
            self.plane.counters[COUNTER_LOST_WHILE_IDLE] += 1
            # What can be repeated is repeated silently (spec 5.4).
            if self.plane.settings.learns_idle_limits and not exchange.request.is_replayable():
                self.plane.log(LOG_INFO, "idle-connections-avoided", {
                    "Addr": self.endpoint.address, "idle-time": idle / 1e9,
                    "for": self.connection_pool.idle_limit.avoided_ns / 1e9,
                })
        return 0

    cdef int _reject(self, str what) except -1:
        return self._lose(Failure(FAILURE_BAD_RESPONSE, TRANSPORT_BROKEN + what))

    cdef int _continue_head(self, bytes data) except -1:
        """More of a head that came in pieces. Only the new bytes are searched for its end."""
        cdef bytearray backlog = self.backlog
        cdef Py_ssize_t searched = len(backlog)
        backlog += data
        if find_head_end(PyByteArray_AS_STRING(backlog), len(backlog), searched) < 0:
            if len(backlog) > self.plane.settings.max_response_head:
                return self._reject_large_head()
            # No status line is longer. Without this limit, a head that comes byte by byte would be looked at once for each byte.
            if searched < STATUS_LINE_MAX and not can_begin_response(PyByteArray_AS_STRING(backlog), len(backlog)):
                return self._reject_start(bytes(backlog))
            return 0
        self.backlog = None
        return self._consume(bytes(backlog))

    cdef int _reject_large_head(self) except -1:
        return self._reject(
            f"net/http: server response headers exceeded {self.plane.settings.max_response_head} bytes; aborted"
        )

    cdef int _reject_start(self, bytes data) except -1:
        """`data` begins with what is no status line."""
        if self.was_used:
            # It is what the backend has still to say to an earlier request, as far as one can tell.
            self.on_unsolicited("in place of a response")
        return self._reject("malformed HTTP response " + go_quoted(data.partition(b"\n")[0].rstrip(b"\r")[:STATUS_LINE_MAX]))

    cdef Py_ssize_t _mend_head(self, bytes data, Py_ssize_t at, str what) except -2:
        """The head at `data[at:]` is malformed, as `what` says: go on with a repaired one, or reject it. Returns -1."""
        cdef Py_ssize_t behind = at + response_head.length
        cdef bytes repaired = None if self.is_repaired else repaired_head(data[at:behind])
        if repaired is None:
            self._reject(what)
        else:
            self.is_repaired = True
            self.drop_validator()
            self._consume(repaired + data[behind:])
        return -1

    cdef int _consume(self, bytes data) except -1:
        """Walk the messages in `data`: interim heads, the final head, its body. What takes too long waits in `unread`."""
        cdef Exchange exchange = self.exchange
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = 0
        self.has_bytes = True
        while at < size and self.exchange is exchange:
            if self.tunnel is not None:
                return self.tunnel.on_backend_data(data[at:])
            if self.is_in_body:
                begin_message()
                at = self._relay(data, at)
            else:
                at = self._take_head(data, at)
            if at < 0:
                return 0
            if at < size and self.exchange is exchange and self.transport is not None and self.is_share_spent():
                return self.keep_for_turn(data[at:])
        return 0

    cdef Py_ssize_t _take_head(self, bytes data, Py_ssize_t at) except -2:
        """A response head at `data[at:]`. Returns the offset behind what was used, -1 when the exchange is over or waits."""
        cdef Exchange exchange = self.exchange
        cdef Head head = response_head
        cdef Settings settings = self.plane.settings
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef int64_t length
        cdef int framing
        cdef bint is_whole
        cdef object shown
        cdef MessageValidator validator
        if head.scan(PyBytes_AS_STRING(data) + at, size - at, settings.max_response_headers) == VERDICT_INCOMPLETE:
            if size - at > settings.max_response_head:
                self._reject_large_head()
            elif not can_begin_response(PyBytes_AS_STRING(data) + at, size - at):
                self._reject_start(data[at:])
            else:
                self.backlog = bytearray(data[at:])
            return -1
        if head.length > settings.max_response_head:
            self._reject_large_head()
            return -1
        if head.slice_status_line() != VERDICT_OK or head.major != 1 or head.minor > 1:
            return self._mend_head(data, at, "malformed HTTP response " + go_quoted(data[at : at + head.start_line.length]))
        if head.is_crowded:
            self._lose(Failure(FAILURE_TOO_MANY_HEADERS, "Too many response headers"))
            return -1

        length = head.content_length()
        if head.status < 200 or exchange.request.is_head or head.status == 204 or head.status == 304:
            framing = FRAMING_NONE
        elif head.has(HEADER_TRANSFER_ENCODING):
            framing = FRAMING_CHUNKED
        elif length >= 0:
            framing = FRAMING_LENGTH
        else:
            framing = FRAMING_UNTIL_CLOSE
        if length == -2 or (
            head.has(HEADER_TRANSFER_ENCODING)
            and (head.seen[HEADER_TRANSFER_ENCODING] > 1 or not head.value_is(HEADER_TRANSFER_ENCODING, b"chunked"))
        ):
            return self._mend_head(data, at, "malformed HTTP response framing")
        if head.status == 101 and not is_agreed_upgrade(exchange.request, head):
            exchange.on_foreign_switch()
            return -1

        # One look for head and body together when both are there, which is the case that counts.
        is_whole = framing == FRAMING_LENGTH and head.length + length <= size - at and not head.has_bare_lf
        if is_whole:
            shown = data if at == 0 and head.length + length == size else data[at : at + head.length + length]
        else:
            shown = data[at : at + head.length]
            if head.has_bare_lf or (
                framing == FRAMING_CHUNKED and not head.fields[head.first[HEADER_TRANSFER_ENCODING]].is_plain
            ):
                shown = head.normalized_head(shown, False)
        validator = self.validator
        if validator is None:
            validator = self.validator = response_validators.borrow()
        if not validator.accepts(shown) or not validator.head_complete:
            return self._mend_head(data, at, "malformed HTTP response: " + (validator.reason or "incomplete"))

        if head.status < 200:
            return self._take_informational(head, at)
        if head.has(HEADER_KEEP_ALIVE):
            self.connection_pool.idle_limit.on_said(said_limit(head))
        framing_start(&self.framing, framing, length)
        self.framing.forgives_blanks = True
        self.is_in_body = True
        self.is_reusable = head.wants_keep_alive() and framing != FRAMING_UNTIL_CLOSE and not self.is_repaired
        if is_whole or (framing == FRAMING_NONE and not exchange.request.is_head):
            if not validator.message_complete:
                self._reject("malformed HTTP response: framing in doubt")
                return -1
        exchange.on_response_head(head, framing)
        return self._relay(data, at + head.length)

    cdef Py_ssize_t _take_informational(self, Head head, Py_ssize_t at) except -2:
        cdef Exchange exchange = self.exchange
        cdef MessageValidator validator = self.validator
        cdef Py_ssize_t behind = at + head.length
        if head.status == 101:
            self.drop_validator()
            exchange.on_switch(head)
            return behind
        if not exchange.response.count_interim():
            self._reject("net/http: too many 1xx informational responses")
            return -1
        if not validator.message_complete:
            self._reject("malformed HTTP response: informational response with a body")
            return -1
        validator.head_complete = validator.message_complete = False
        self.is_repaired = False
        exchange.on_interim(head)
        return behind

    cdef Py_ssize_t _relay(self, bytes data, Py_ssize_t at) except -2:
        """Door 7: `data[at:]` is body. The message under construction goes out in front of it, in one write.

        Returns the offset behind the body bytes used, -1 when the exchange is over.
        """
        cdef Exchange exchange = self.exchange
        cdef ClientSide client = exchange.client
        cdef MessageValidator validator = self.validator
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data) - at
        cdef Py_ssize_t used = 0
        cdef Py_ssize_t trailer_before = 0
        cdef bytes prefix
        cdef bytearray trailer = self.trailer
        cdef bint is_rechunked = exchange.response.framing == FRAMING_CHUNKED
        cdef object body = None
        cdef object shown = None
        cdef Framing before
        cdef int64_t payload = 0
        if self.framing.kind == FRAMING_CHUNKED:
            before = self.framing
            if trailer is None:
                trailer = self.trailer = bytearray()
            trailer_before = PyByteArray_GET_SIZE(trailer)
            used = walk_chunked(&self.framing, PyBytes_AS_STRING(data) + at, size, is_rechunked, &payload, trailer)
            exchange.response.count_body(payload)
            if used < 0:
                return self._reject_relayed()
            if self.framing.has_blanks or PyByteArray_GET_SIZE(trailer):
                shown = self._mended_chunks(&before, data[at : at + used], trailer_before)
                if shown is None:
                    return self._reject_relayed()
        elif self.framing.kind == FRAMING_LENGTH:
            used = min(size, self.framing.remaining)
            self.framing.remaining -= used
            self.framing.is_done = self.framing.remaining == 0
            exchange.response.count_body(used)
        elif self.framing.kind == FRAMING_UNTIL_CLOSE:
            used = size
            exchange.response.count_body(used)
            if is_rechunked and used:
                put_hex(used)
                put_text(b"\r\n")

        if used and not validator.message_complete:
            if shown is None:
                shown = data if at == 0 and used == PyBytes_GET_SIZE(data) else memoryview(data)[at : at + used]
            if len(shown) and not validator.accepts(shown):
                return self._reject_relayed()
        if self.framing.is_done != validator.message_complete and self.framing.kind != FRAMING_NONE:
            return self._reject_relayed()

        if self.framing.kind == FRAMING_LENGTH or self.framing.kind == FRAMING_UNTIL_CLOSE:
            if used > RELAY_COPY_MAX:
                body = data if at == 0 and used == PyBytes_GET_SIZE(data) else memoryview(data)[at : at + used]
                prefix = take_message()
                if self.framing.kind == FRAMING_UNTIL_CLOSE and is_rechunked:
                    client.write_parts([prefix, body, b"\r\n"])
                elif PyBytes_GET_SIZE(prefix):
                    client.write_parts([prefix, body])
                else:
                    client.write(body)
            elif used:
                put(PyBytes_AS_STRING(data) + at, used)
                if self.framing.kind == FRAMING_UNTIL_CLOSE and is_rechunked:
                    put_text(b"\r\n")
        if self.framing.kind == FRAMING_CHUNKED and self.framing.is_done and is_rechunked:
            put_bytes(last_chunk(trailer))
        if body is None:
            client.write_rendered()
        if self.exchange is not exchange:
            # The write found the client gone.
            return -1
        if self.framing.is_done:
            self._end_response(exchange, at + used < PyBytes_GET_SIZE(data))
            return -1
        return at + used

    cdef bytes _mended_chunks(self, Framing* before, bytes chunks, Py_ssize_t trailer_before):
        """What the validator is shown of `chunks`, which Gorouter takes and llhttp does not: no blanks behind sizes of chunks.

        The trailer section is shown when it is complete, and repaired as a head is; None if it is past repair. `before` and
        `trailer_before`, the bytes of the section, are from before `chunks`.
        """
        cdef Framing* framing = &self.framing
        cdef bytes repaired
        cdef Py_ssize_t held = 0
        if PyByteArray_GET_SIZE(self.trailer):
            # The section, and the empty line behind it.
            held = PyByteArray_GET_SIZE(self.trailer) - trailer_before - (before.state == CHUNK_LAST_LF)
            held += 2 if framing.is_done else (framing.state == CHUNK_LAST_LF)
        chunks = chunks[: PyBytes_GET_SIZE(chunks) - held]
        if framing.has_blanks:
            chunks = without_blanks(before, PyBytes_AS_STRING(chunks), PyBytes_GET_SIZE(chunks))
            framing.has_blanks = framing.state == CHUNK_SIZE_BLANK
        if held and framing.is_done:
            repaired = repaired_trailer(bytes(self.trailer))
            if repaired is None:
                return None
            if repaired != self.trailer:
                self.is_reusable = False
                self.trailer[:] = repaired
            chunks += repaired + b"\r\n"
        return chunks

    cdef Py_ssize_t _reject_relayed(self) except -2:
        """The body is not what its head announced, and the message goes nowhere. Returns -1."""
        drop_message()
        self._reject("malformed chunked encoding")
        return -1

    cdef int _finish_until_close(self, Exchange exchange) except -1:
        """The backend's EOF is the end of this body."""
        if exchange.response.framing == FRAMING_CHUNKED:
            exchange.client.write(b"0\r\n\r\n")
        self.framing.is_done = True
        return self._end_response(exchange, False)

    cdef int _end_response(self, Exchange exchange, bint has_more) except -1:
        """The response is complete; bytes behind it were not asked for, so the connection cannot be trusted again."""
        cdef MessageValidator validator = self.validator
        self.validator = None
        self.trailer = None
        if has_more:
            self.is_reusable = False
            self.on_unsolicited("behind a response")
        response_validators.take_back(validator)
        return exchange.on_response_end()


cdef bint is_notice_of_end(const char* data, Py_ssize_t size) noexcept:
    """Whether a backend only says that it has waited long enough for a request, as some do (RFC 9110 section 15.5.9)."""
    return size >= NOTICE_SIZE and memcmp(data, b"HTTP/1.", 7) == 0 and memcmp(data + 8, b" 408", 4) == 0
