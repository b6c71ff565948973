# HTTP2BackendSide: the backend of an exchange that is a stream of HTTP/2: one side for one exchange.
#
# The exchange writes HTTP/1.1: a rendered head, and a body that is raw or chunked. It gets a Head scanned from such text, and its
# client a body under the framing that the response has there.

@cython.final
cdef class HTTP2BackendSide(BackendSide):
    def __cinit__(self, HTTP2BackendConnection connection):
        self.connection = connection
        self.sent = bytearray()

    # --- what the exchange asks for

    cdef int serve(self, Exchange exchange) except -1:
        self.exchange = exchange
        return self.connection.join(self)

    cdef int write_rendered(self) except -1:
        return self._begin(_message, end_message())

    cdef int write(self, bytes data) except -1:
        cdef Py_ssize_t end
        if self.connection.is_closed:
            return 0
        if self.stream != 0:
            return self._send_body(data)
        end = find_head_end(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), 0)
        self._begin(PyBytes_AS_STRING(data), end)
        return self._send_body(data[end:])

    cdef int pause(self) except -1:
        self.is_paused = True
        return 0

    cdef int resume(self) except -1:
        """Hand over what has come meanwhile. The backend may send as much again."""
        cdef Exchange exchange = self.exchange
        cdef bytes data
        self.is_paused = False
        while self.held is not None and not self.is_paused:
            data = bytes(self.held[:RELAY_COPY_MAX])
            del self.held[:RELAY_COPY_MAX]
            if PyByteArray_GET_SIZE(self.held) == 0:
                self.held = None
            begin_message()
            self._relay(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), False)
            self._take_from_held(PyBytes_GET_SIZE(data))
        return self._end() if self.has_ended and self.held is None and self.exchange is exchange else 0

    cdef bint is_full(self) noexcept:
        return self.is_request_full

    cdef bint was_used(self) noexcept:
        return self.was_kept

    cdef str local_address(self):
        return self.connection.local_address

    cdef int64_t missing(self) noexcept:
        return max(self.remaining, <int64_t>-1) if self.has_begun and self.framing != FRAMING_NONE else -1

    cdef int release(self) except -1:
        return self._drop()

    cdef int close(self) except -1:
        return self._drop()

    cdef int abort(self) except -1:
        return self._drop()

    cdef bint is_complete(self) noexcept:
        """Whether the stream is over in both directions, as far as that is certain."""
        return self.has_ended and self.request_framing.kind == FRAMING_NONE

    cdef int _drop(self) except -1:
        self.let_go()
        return self.connection.drop(self, HTTP2_CANCEL)

    cdef Exchange let_go(self):
        """Returns the exchange, which is not this side's any more."""
        cdef Exchange exchange = self.exchange
        cdef bytearray held = self.held
        self.exchange = None
        self.held = None
        self._forget_sent()
        if held is not None:
            self._take_from_held(PyByteArray_GET_SIZE(held))
        return exchange

    # --- the request

    cdef int _begin(self, const char* head, Py_ssize_t size) except -1:
        cdef HeadNotes notes
        read_request_head(head, size, self.connection.endpoint.tls, &notes)
        never_index_lines(self.exchange.request.never_indexed)
        framing_start(&self.request_framing, self.exchange.request.framing, max(<int64_t>0, notes.length))
        if not self.request_framing.is_done:
            self.output = StreamOutput()
        return self.connection.begin_stream(self)

    cdef Py_ssize_t queued(self) noexcept:
        """Bytes of request body that wait for the backend's windows, or for the next write."""
        return 0 if self.output is None else self.output.waiting()

    cdef bint is_too_much(self, Py_ssize_t limit) noexcept:
        """Whether more than `limit` of this body waits, or anything of it where all bodies together are too many bytes."""
        cdef Py_ssize_t queued = self.queued()
        return queued > limit or (queued > 0 and self.connection.session.unsent > BACKEND_UNSENT_MAX)

    cdef int _send_body(self, bytes data) except -1:
        """Send bytes of the body, framed as its head says."""
        cdef HTTP2BackendConnection connection = self.connection
        cdef HTTP2BackendSession session = connection.session
        self._keep_sent(data)
        if self.request_framing.kind == FRAMING_CHUNKED:
            self._send_chunks(session, data)
        elif not self.request_framing.is_done:
            self.request_framing.remaining -= PyBytes_GET_SIZE(data)
            self.request_framing.is_done = self.request_framing.remaining <= 0
            session.send(self.output, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), self.request_framing.is_done)
        if self.is_too_much(connection.plane.settings.max_buffered):
            # Most of it may go out at once.
            connection._write_out()
            if not self.is_request_full and self.is_too_much(connection.plane.settings.max_buffered):
                self.is_request_full = True
                connection.full.append(self)
            return 0
        return connection.write_soon()

    cdef int _send_chunks(self, HTTP2BackendSession session, bytes data) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t used, length
        cdef int64_t payload
        if self.request_trailer is None:
            self.request_trailer = bytearray()
        while at < size and not self.request_framing.is_done:
            payload = 0
            begin_message()
            used = walk_chunked(
                &self.request_framing, PyBytes_AS_STRING(data) + at, size - at, False, &payload, self.request_trailer
            )
            length = end_message()
            assert used >= 0, "the client's side frames the body"
            at += used
            if payload:
                session.send(self.output, _message, length, self.request_framing.is_done and not self.request_trailer)
                if self.request_framing.is_done and not self.request_trailer:
                    return 0
        if self.request_framing.is_done and self.request_trailer:
            session.send_trailers(
                self.output, b"0\r\n" + bytes(self.request_trailer) + b"\r\n", self.exchange.request.never_indexed
            )
        elif self.request_framing.is_done:
            session.send(self.output, NULL, 0, True)
        return 0

    cdef int _keep_sent(self, bytes data) except -1:
        """Keep what a stream that is refused needs again, as long as that is little and nothing has been answered."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if self.sent is None:
            return 0
        if (
            PyByteArray_GET_SIZE(self.sent) + size > self.connection.plane.settings.max_buffered
            or self.connection.kept + size > BACKEND_KEPT_MAX
        ):
            self._forget_sent()
        else:
            self.sent += data
            self.connection.kept += size
        return 0

    cdef void _forget_sent(self) noexcept:
        """The request is not tried again, or not with what this side has kept."""
        if self.sent is not None:
            self.connection.kept -= PyByteArray_GET_SIZE(self.sent)
            self.sent = None

    cdef int on_room(self) except -1:
        """The backend takes more of the request."""
        self.is_request_full = False
        return self.exchange.on_backend_room()

    # --- the response

    cdef int on_interim(self, bytes head) except -1:
        if not self._scan(head, False):
            return 0
        if not self.exchange.response.count_interim():
            return self.reject("http2: too many 1xx informational responses")
        return self.exchange.on_interim(response_head)

    cdef int on_response(self, bytes text, bint is_last) except -1:
        """The head of the final response, which is all of it if `is_last`. A message begins, for DATA that came with it."""
        cdef Exchange exchange = self.exchange
        cdef Head head = response_head
        if not self._scan(text, is_last):
            return 0
        self.has_begun = True
        self.has_ended = is_last
        self.remaining = head.content_length()
        if exchange.request.is_head or head.status == 204 or head.status == 304:
            self.framing = FRAMING_NONE
        elif not is_last and (self.remaining < 0 or exchange.request.is_http2):
            # A client of HTTP/2 sees none of the chunks, and gets a trailer behind a length, too. In HTTP/1.1 a length leaves no
            # room for one, and Go keeps the length.
            self.framing = FRAMING_CHUNKED
        else:
            self.framing = FRAMING_LENGTH
        return exchange.on_response_head(head, self.framing)

    cdef int on_bare_head(self) except -1:
        """No DATA has come with the head: it goes out by itself."""
        cdef Exchange exchange = self.exchange
        exchange.client.write_rendered()
        return exchange.on_response_end() if self.has_ended and self.exchange is exchange else 0

    cdef bint _scan(self, bytes text, bint is_last) except -1:
        """Scan a head, as `response_head`. Returns whether it is one; otherwise the exchange is given up."""
        cdef Settings settings = self.connection.plane.settings
        cdef Head head = response_head
        self.connection.is_probed = False
        self.has_bytes = True
        self._forget_sent()
        self.head = text
        if PyBytes_GET_SIZE(self.head) > settings.max_response_head:
            self.reject("http2: response header list larger than advertised limit")
            return False
        head.scan(PyBytes_AS_STRING(self.head), PyBytes_GET_SIZE(self.head), settings.max_response_headers)
        if is_last and head.content_length() < 0:
            # As Go has it: there is a body, an empty one.
            self.head = self.head[: PyBytes_GET_SIZE(self.head) - 2] + b"Content-Length: 0\r\n\r\n"
            head.scan(PyBytes_AS_STRING(self.head), PyBytes_GET_SIZE(self.head), settings.max_response_headers + 1)
        head.slice_status_line()
        if head.is_crowded:
            self.lose(Failure(FAILURE_TOO_MANY_HEADERS, "Too many response headers"), HTTP2_CANCEL)
            return False
        return True

    cdef int on_malformed(self, str reason) except -1:
        """A head is none, or what comes behind the body are no trailers."""
        self.connection.is_probed = False
        self.has_bytes = True
        self._forget_sent()
        return self.reject(f"malformed HTTP response: {reason}")

    cdef int on_data(self, const char* data, Py_ssize_t size, bint is_last) except -1:
        """DATA, which may end the response. A message may be under construction: the head in front of it."""
        cdef Exchange exchange = self.exchange
        cdef HTTP2BackendConnection connection = self.connection
        connection.is_probed = False
        self.has_ended = is_last
        if self.framing == FRAMING_NONE and size:
            drop_message()
            return self.reject("http2: DATA of a response without a body")
        if self.held is not None or (self.is_paused and not _is_open):
            if self.held is None:
                self.held = bytearray()
            self.held += data[:size]
            connection.held += size
            return 0
        if not _is_open:
            begin_message()
        self._relay(data, size, is_last)
        if not connection.is_closed:
            connection.session.acknowledge(self.stream, size)
        return exchange.on_response_end() if is_last and self.exchange is exchange else 0

    cdef int on_trailers(self, bytes lines) except -1:
        """The fields behind the body, which are its end."""
        if not self.has_begun:
            return self.on_malformed("no status")
        self.trailer = bytearray(lines)
        self.connection.is_probed = False
        self.has_ended = True
        return self._end() if self.held is None else 0

    cdef int _relay(self, const char* data, Py_ssize_t size, bint is_last) except -1:
        """Write DATA, which may be the last of the response, to the client, behind the message under construction."""
        cdef ClientSide client = self.exchange.client
        cdef bint is_chunked = self.exchange.response.framing == FRAMING_CHUNKED
        cdef bytes end = b""
        cdef bytes prefix, body
        if is_chunked:
            end = b"\r\n0\r\n\r\n" if is_last else b"\r\n"
            if size == 0:
                # A chunk of that size would be the last one.
                is_chunked = False
                end = b"0\r\n\r\n" if is_last else b""
        self.exchange.response.count_body(size)
        self.remaining -= size
        if is_chunked:
            put_hex(size)
            put_text(b"\r\n")
        if size <= RELAY_COPY_MAX:
            put(data, size)
            put_bytes(end)
            return client.write_rendered()
        prefix = take_message()
        body = data[:size]
        if is_chunked:
            return client.write_parts([prefix, body, end])
        return client.write_parts([prefix, body]) if PyBytes_GET_SIZE(prefix) else client.write(body)

    cdef int _end(self) except -1:
        """All DATA of the response is with the client's side: what remains is the last chunk."""
        cdef Exchange exchange = self.exchange
        if exchange.response.framing == FRAMING_CHUNKED:
            exchange.client.write(last_chunk(self.trailer))
        return exchange.on_response_end() if self.exchange is exchange else 0

    cdef int _take_from_held(self, Py_ssize_t size) except -1:
        self.connection.held -= size
        if not self.connection.is_closed:
            self.connection.session.acknowledge(self.stream, size)
            self.connection.write_soon()
        return 0

    # --- endings

    cdef int on_reset(self, uint32_t code) except -1:
        """RST_STREAM of the backend."""
        cdef str text = f"stream error: stream ID {self.stream}; {error_name(code)}; received from peer"
        if self.has_ended:
            # It wants no more of the request.
            return 0
        return self.lose(Failure(FAILURE_REFUSED if code == HTTP2_REFUSED_STREAM else FAILURE_STREAM, text), HTTP2_NO_ERROR)

    cdef int on_closed(self, uint32_t code) except -1:
        """The session has given the stream up: it is beyond what a GOAWAY lets be, or its response breaks the rules."""
        if self.has_ended:
            return 0
        if code == HTTP2_REFUSED_STREAM:
            return self.lose(
                Failure(FAILURE_REFUSED, "http2: Transport received Server's graceful shutdown GOAWAY"), HTTP2_NO_ERROR
            )
        return self.lose(
            Failure(FAILURE_BAD_RESPONSE, f"stream error: stream ID {self.stream}; {error_name(code)}"), HTTP2_NO_ERROR
        )

    cdef int reject(self, str what) except -1:
        """Give up a response that breaks the rules."""
        return self.lose(Failure(FAILURE_BAD_RESPONSE, what), HTTP2_PROTOCOL_ERROR)

    cdef int lose(self, Failure failure, int code) except -1:
        """Give up the exchange; the stream, if there is one still, is reset with this code."""
        cdef bytearray sent = self.sent
        cdef Exchange exchange = self.let_go()
        self.connection.drop(self, code)
        if exchange is None:
            return 0
        if failure.kind == FAILURE_REFUSED:
            if sent is None:
                failure = Failure(FAILURE_STREAM, failure.text)
            elif sent:
                exchange.request.hold(bytes(sent))
        return exchange.on_backend_lost(failure, self.was_kept, self.has_bytes)

    cdef int on_panic(self, object error) except -1:
        """A fault of ours, in what is about this stream."""
        cdef Exchange exchange = self.exchange
        return log_panic(self.connection.plane, error) if exchange is None else respond_panic(exchange, error)
