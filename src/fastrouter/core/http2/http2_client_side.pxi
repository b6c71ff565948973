# HTTP2ClientSide: the client of an exchange that came as a stream of HTTP/2.
#
# The exchange gets a head of HTTP/1.1 and gives one, and bodies framed as there; here both become frames.

cdef class HTTP2ClientSide(ClientSide):
    def __cinit__(self, ClientIdentity identity, HTTP2ClientConnection connection, uint32_t number):
        self.connection = connection
        self.number = number

    # --- the request

    cdef int begin(self, bytes raw, bint has_body, set never_indexed) except -1:
        """Door 2: `raw` is the request's head, as text of HTTP/1.1, `never_indexed` has the names of fields that are to be so."""
        cdef HTTP2ClientConnection connection = self.connection
        cdef Head head = request_head
        cdef Exchange exchange
        self.is_request_over = not has_body
        head.scan(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), connection.plane.settings.max_request_headers + 1)
        head.slice_request_line()
        self.is_head = is_word(head.base, head.method, b"HEAD")
        if not check_stream(self, raw, head):
            return 0
        self.remaining = head.content_length()
        # Nothing but extended CONNECT has such a field: what comes behind it is no body, but the tunnel's.
        self.wants_tunnel = head.has(HEADER_UPGRADE)
        if has_body and self.remaining != 0 and not self.wants_tunnel:
            self.framing = FRAMING_CHUNKED if self.remaining < 0 else FRAMING_LENGTH
        self.is_body_handed = self.framing == FRAMING_NONE
        exchange = new_exchange(self, connection.plane)
        exchange.on_request(raw, head, self.framing)
        exchange.request.set_large_head(self.large_head)
        self.large_head = None
        exchange.request.set_http2()
        exchange.request.note_grpc(head)
        exchange.request.never_index(never_indexed)
        exchange.request.set_first(not connection.is_used)
        connection.is_used = True
        connection.exchanges += 1
        if connection.plane.settings.route_patience > 0 and self._awaits_route(exchange, head):
            return 0
        return self._serve(exchange, head)

    cdef int _serve(self, Exchange exchange, Head head) except -1:
        self.exchange = exchange
        if self.connection.plane.is_draining:
            exchange.response.close_after()
        return serve(exchange, head)

    cdef bint _awaits_route(self, Exchange exchange, Head head) except -1:
        """Whether the request is put off because nobody has registered for it yet."""
        if not lacks_route(exchange, head):
            return False
        self.route_wait = StreamRouteWait(self, exchange)
        self.connection.plane.route_waits.add(self.route_wait, exchange)
        return True

    cdef int on_route_wait_over(self) except -1:
        """The request goes on: its route is there, or its time is over."""
        cdef Exchange exchange = self.route_wait.exchange
        cdef Head head = request_head
        cdef bytes raw = exchange.request.head
        self.route_wait = None
        head.scan(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), self.connection.plane.settings.max_request_headers + 1)
        head.slice_request_line()
        self._serve(exchange, head)
        return self.resume()

    # --- its body

    cdef int on_body(self, const char* data, Py_ssize_t size, bint is_last) except -1:
        """The next DATA, perhaps without a byte; `is_last`: END_STREAM."""
        if is_last:
            self.is_request_over = True
        if self.exchange is None and self.route_wait is None:
            self.discarded += size
            if self.discarded > DISCARD_MAX and not self.is_gone:
                self._reset(HTTP2_NO_ERROR)
            return self.connection.session.acknowledge(self.number, size)
        if self.waiting is not None or self.is_gathering or not self._can_hand_over():
            if self.waiting is None:
                self.waiting = bytearray()
            self.waiting += data[:size]
            return 0
        if not is_last and size < HTTP2_SMALL:
            # There may be thousands like it in what was read, each of which would be a write: they go on as one behind it.
            self.is_gathering = True
            self.connection.unsent[self] = None
        return self._hand_over(data, size, is_last)

    cdef int on_trailers(self, bytes lines, set never_indexed) except -1:
        """The fields behind the body, which end it."""
        self.trailer = lines
        if self.exchange is not None:
            self.exchange.request.never_index(never_indexed)
        return self.on_body(b"", 0, True)

    cdef bint _can_hand_over(self) noexcept:
        """Whether the exchange can take what comes."""
        if self.exchange is None or (self.wants_tunnel and self.tunnel is None):
            return False
        return self.exchange.can_take_body()

    cdef int _hand_over(self, const char* data, Py_ssize_t size, bint is_last) except -1:
        """Give the exchange a piece of body, which it can take."""
        cdef Exchange exchange = self.exchange
        cdef bytes framed = b""
        if self.tunnel is not None:
            return self._hand_to_tunnel(data, size, is_last)
        if self.framing == FRAMING_LENGTH:
            if size > self.remaining or (is_last and size < self.remaining):
                self.connection.session.reset(self.number, HTTP2_PROTOCOL_ERROR)
                return self.break_body()
            self.remaining -= size
            framed = data[:size]
            # END_STREAM may come behind the last byte.
            is_last = self.remaining == 0
        elif self.framing == FRAMING_CHUNKED:
            begin_message()
            if size:
                put_hex(size)
                put_text(b"\r\n")
                put(data, size)
                put_text(b"\r\n")
            if is_last:
                put_bytes(last_chunk(None if self.trailer is None else bytearray(self.trailer)))
            framed = take_message()
        elif size:
            self.connection.session.reset(self.number, HTTP2_PROTOCOL_ERROR)
            return self.break_body()
        if not self.is_body_handed:
            self.is_body_handed = is_last
            exchange.on_body(framed, size, is_last)
        return self.connection.session.acknowledge(self.number, size)

    cdef int break_body(self) except -1:
        """The body is not what its head announced. The stream is reset, or is about to be."""
        self.is_gone = True
        self._drop_waiting()
        if self.route_wait is not None:
            note_refusal(self.connection, self.route_wait.exchange.request.head, REFUSAL_MALFORMED, 0, 0)
            return self.on_gone(None)
        return 0 if self.exchange is None else self.exchange.on_broken_body()

    cdef int _drop_waiting(self) except -1:
        cdef Py_ssize_t size = 0 if self.waiting is None else PyByteArray_GET_SIZE(self.waiting)
        self.waiting = None
        return 0 if self.connection.session is None else self.connection.session.acknowledge(self.number, size)

    cdef int resume(self) except -1:
        cdef bytes piece
        if self.is_held or self.connection.fullness > 0:
            self._hold_new_backend()
        while self.waiting is not None and self._can_hand_over():
            piece = bytes(self.waiting[:RELAY_COPY_MAX])
            del self.waiting[:RELAY_COPY_MAX]
            if PyByteArray_GET_SIZE(self.waiting) == 0:
                self.waiting = None
            self._hand_over(
                PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece), self.is_request_over and self.waiting is None
            )
        # The client may send as much again.
        return 0 if self.connection.session is None else self.connection.write_soon()

    cdef int _hold_new_backend(self) except -1:
        """The backend that has just got the request may be another one than was held, or may have been dialled for meanwhile."""
        if self.exchange is None or self.exchange.response.is_started or not self.exchange.round_trip.is_head_sent:
            return 0
        if self.is_held:
            self.is_held = False
            self.exchange.on_client_room()
        # It is held behind this turn of the loop: no transport can be paused before it has begun to read.
        return self._note_written()

    cdef int pause(self) except -1:
        # What comes waits, and the client's window is not opened meanwhile.
        return 0

    # --- the response

    cdef int write_rendered(self) except -1:
        cdef Py_ssize_t size = end_message()
        return 0 if self.is_gone else self._take(_message, size)

    cdef int write(self, object data) except -1:
        cdef Py_buffer view
        if self.is_gone:
            return 0
        if type(data) is bytes:
            return self._take(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self._take(<const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int write_parts(self, list parts) except -1:
        for part in parts:
            self.write(part)
        return 0

    cdef int _take(self, const char* text, Py_ssize_t size) except -1:
        """Send what is text of HTTP/1.1: heads, and body as they frame it."""
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t step
        while at < size and self.stage != RESPONSE_ENDED and not self.is_gone:
            if self.stage == RESPONSE_HEAD:
                at += self._take_head(text + at, size - at)
            elif self.stage == RESPONSE_CHUNK_LINE:
                at += self._take_chunk_line(text + at, size - at)
            elif self.stage == RESPONSE_CHUNK_END:
                at += 2
                self.stage = RESPONSE_CHUNK_LINE
            elif self.stage == RESPONSE_UNTIL_END:
                self._send(text + at, size - at, False)
                at = size
            else:
                step = min(self.left, size - at)
                self.left -= step
                if self.left > 0:
                    self._send(text + at, step, False)
                elif self.stage == RESPONSE_LENGTH:
                    self.stage = RESPONSE_ENDED
                    self._send(text + at, step, True)
                elif size - at - step == 7 and memcmp(text + at + step, b"\r\n0\r\n\r\n", 7) == 0:
                    # No other frame is needed for the end.
                    self.stage = RESPONSE_ENDED
                    self._send(text + at, step, True)
                else:
                    self.stage = RESPONSE_CHUNK_END
                    self._send(text + at, step, False)
                at += step
        return 0

    cdef Py_ssize_t _take_head(self, const char* text, Py_ssize_t size) except -1:
        """Send the head at the beginning of `text`. Returns its size."""
        cdef Py_ssize_t end = find_head_end(text, size, 0)
        cdef HeadNotes notes
        cdef int status = (text[9] - 48) * 100 + (text[10] - 48) * 10 + text[11] - 48
        read_response_head(text, end, &notes)
        never_index_lines(None if self.exchange is None else self.exchange.response.never_indexed)
        if status == 101:
            # What HTTP/1.1 switches protocols with is a success here, and the stream is the tunnel (RFC 8441 section 5).
            _lines[0].value = b"200"
            drop_line(b"sec-websocket-accept", 20)
            self.stage = RESPONSE_UNTIL_END
            self.output = self.connection.session.respond(self.number, False)
        elif status < 200:
            self.connection.session.inform(self.number)
        elif self.is_head or status == 204 or status == 304 or (notes.length == 0 and not notes.is_chunked):
            self.stage = RESPONSE_ENDED
            self.connection.session.respond(self.number, True)
        else:
            self.left = notes.length
            if notes.is_chunked:
                self.stage = RESPONSE_CHUNK_LINE
            else:
                self.stage = RESPONSE_UNTIL_END if notes.length < 0 else RESPONSE_LENGTH
            self.output = self.connection.session.respond(self.number, False)
        self._note_written()
        return end

    cdef Py_ssize_t _take_chunk_line(self, const char* text, Py_ssize_t size) except -1:
        """Begin with a chunk, or end with the last one. Returns how many bytes that took."""
        cdef const char* newline = <const char*>memchr(text, c"\n", size)
        cdef const char* at = text
        self.left = 0
        while hex_digit(at[0]) >= 0:
            self.left = self.left * 16 + hex_digit(at[0])
            at += 1
        if self.left:
            self.stage = RESPONSE_CHUNK
            return newline + 1 - text
        self.stage = RESPONSE_ENDED
        if newline[1] == c"\r":
            self.connection.session.send(self.output, NULL, 0, True)
        else:
            self.connection.session.send_trailers(
                self.output, text[:size], None if self.exchange is None else self.exchange.response.never_indexed
            )
        self._note_written()
        return size

    cdef int _send(self, const char* data, Py_ssize_t size, bint is_last) except -1:
        cdef HTTP2ClientConnection connection = self.connection
        connection.session.send(self.output, data, size, is_last)
        self._note_written()
        connection.on_unsent()
        return self.hold_back() if connection.is_too_much(self) else 0

    cdef Py_ssize_t unsent(self) noexcept:
        """Bytes of response that wait for the client."""
        return 0 if self.output is None else self.output.waiting()

    cdef int _note_written(self) except -1:
        self.connection.unsent[self] = None
        return self.connection.write_soon()

    cdef int hold_back(self) except -1:
        """The client does not take what is written as fast as it comes."""
        if self.exchange is not None and not self.is_held:
            self.is_held = True
            if self.exchange.queue is None:
                watch_of(self).watch_stall()
            return self.exchange.on_client_full()
        return 0

    cdef int look(self) except -1:
        """What has been read is worked off; what could be written is written, and `unsent` waits."""
        cdef HTTP2ClientConnection connection = self.connection
        if self.is_gathering:
            self.is_gathering = False
            self.resume()
        if self.awaits_end():
            if self.unsent() == 0 and not connection.is_write_paused and not connection.is_write_due:
                # The client has its response, and the rest of its request is in vain (RFC 9113 section 8.1).
                self._reset(HTTP2_NO_ERROR)
                return connection.write_soon()
            return 0
        if connection.is_too_much(self):
            return self.hold_back()
        if self.is_held:
            self.is_held = False
            self._end_watch()
            if self.tunnel is not None:
                self.tunnel.watch_silence()
            if self.exchange is not None:
                return self.exchange.on_client_room()
        return 0

    cdef bint awaits_end(self) noexcept:
        """Whether the response is complete, and the client still sends its request."""
        return self.stage == RESPONSE_ENDED and self.exchange is None and not self.is_request_over and not self.is_gone

    cdef bint is_full(self) noexcept:
        return self.is_held

    # --- the tunnel

    cdef bytes begin_tunnel(self, Tunnel tunnel):
        cdef bytes early = b"" if self.waiting is None else bytes(self.waiting)
        self.tunnel = tunnel
        self._drop_waiting()
        return early

    cdef int _hand_to_tunnel(self, const char* data, Py_ssize_t size, bint is_last) except -1:
        if size:
            self.tunnel.on_client_data(data[:size])
            self.connection.session.acknowledge(self.number, size)
        if is_last and self.tunnel is not None:
            self.tunnel.on_client_half_close()
        return 0

    cdef bint take_end(self) noexcept:
        return self.is_request_over

    cdef bint can_half_close(self) except -1:
        return not self.is_gone

    cdef int half_close(self) except -1:
        return self.close()

    cdef int watch_silence(self) except -1:
        return watch_of(self).watch_silence()

    cdef int _end_watch(self) except -1:
        if self.watch is not None:
            self.watch.disarm()
        return 0

    cdef int give_up(self) except -1:
        """Too long has the client taken nothing."""
        self._reset(HTTP2_INTERNAL_ERROR)
        self.connection.write_soon()
        return self.exchange.on_client_gone(None)

    # --- endings

    cdef int _reset(self, uint32_t code) except -1:
        """End the stream before its time."""
        self.is_gone = True
        return 0 if self.connection.session is None else self.connection.session.reset(self.number, code)

    cdef int on_gone(self, object error) except -1:
        """There is no stream any more: the client has reset it, or the connection has ended with `error`."""
        cdef Exchange exchange = self.exchange
        self.is_gone = True
        self._drop_waiting()
        if self.route_wait is not None:
            # It comes to no request.
            self.route_wait.side = None
            self.route_wait = None
            self.connection.on_exchange_end()
        return 0 if exchange is None else exchange.on_client_gone(error)

    cdef int on_panic(self, object error) except -1:
        """A fault of ours in what this stream has said: nobody else pays for it."""
        if self.exchange is not None:
            return respond_panic(self.exchange, error)
        if not self.is_gone:
            self._reset(HTTP2_INTERNAL_ERROR)
        return log_panic(self.connection.plane, error)

    cdef int finish(self, bint is_last) except -1:
        if self.exchange is None:
            return 0
        self.exchange = None
        self.tunnel = None
        self._end_watch()
        # Each knows the other.
        self.watch = None
        self._drop_waiting()
        if not self.is_gone and self.stage != RESPONSE_ENDED:
            if self.stage == RESPONSE_UNTIL_END:
                self.connection.session.send(self.output, NULL, 0, True)
            else:
                self._reset(HTTP2_INTERNAL_ERROR)
            self.stage = RESPONSE_ENDED
        if self.awaits_end():
            self.connection.unsent[self] = None
        return self.connection.on_exchange_end()

    cdef int break_off(self, bint needs_reset) except -1:
        if not self.is_gone and self.stage != RESPONSE_ENDED:
            # What the client can still take of it comes first.
            self.connection.write_now()
            self._reset(HTTP2_INTERNAL_ERROR)
        return 0

    cdef int close(self) except -1:
        if not self.is_gone and self.stage != RESPONSE_ENDED:
            self.stage = RESPONSE_ENDED
            self.connection.session.send(self.output, NULL, 0, True)
            return self._note_written()
        return 0

    cdef bint serves(self, Exchange exchange) noexcept:
        return self.exchange is exchange

    cdef int abort(self) except -1:
        if self.exchange is None:
            return 0
        self.exchange = None
        self.tunnel = None
        self._end_watch()
        self.watch = None
        if not self.is_gone:
            self._reset(HTTP2_INTERNAL_ERROR)
        self._drop_waiting()
        return self.connection.on_exchange_end()
