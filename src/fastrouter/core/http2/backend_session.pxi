# HTTP2BackendSession: the protocol of one connection to a backend. What libnghttp2 tells becomes calls, requests become frames.

class BrokenSessionError(Exception):
    """The peer has broken the protocol, or ended it: nothing goes on here. The text is the name of an error code."""


# By number (RFC 9113 section 7).
cdef tuple ERROR_NAMES = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)


cdef str error_name(uint32_t code):
    """An error code of RST_STREAM or GOAWAY as Go prints it."""
    return ERROR_NAMES[code] if code < <uint32_t>PyTuple_GET_SIZE(ERROR_NAMES) else f"unknown error code 0x{code:x}"


cdef class HTTP2BackendSession(HTTP2Engine):
    def __cinit__(self, Settings settings):
        cdef NGSetting[3] values
        # A head beyond the limit ends its stream only. One that is far beyond ends the connection.
        self.max_list_size = 2 * settings.max_response_head
        # As in HPACK's tables, each field costs its peer 32 bytes of a list (RFC 9113 section 6.5.2).
        self.max_list_count = <int>(self.max_list_size // 32 + 1)
        self.open(False, 2 * settings.max_received_head, self.max_list_size // 16384 + 8)
        values[0].identifier = SETTING_ENABLE_PUSH
        values[0].value = 0
        values[1].identifier = SETTING_INITIAL_WINDOW_SIZE
        values[1].value = BACKEND_STREAM_WINDOW
        values[2].identifier = SETTING_MAX_HEADER_LIST_SIZE
        values[2].value = <uint32_t>settings.max_response_head
        self.expect(nghttp2.submit_settings(self.engine, FRAME_FLAG_NONE, values, 3))
        self.expect(nghttp2.set_local_window_size(self.engine, FRAME_FLAG_NONE, 0, BACKEND_WINDOW))
        allow(&self.chatter, HTTP2_CHATTER, HTTP2_CHATTER_PER_SECOND)

    # --- what comes

    cdef Py_ssize_t receive(self, bytes data, Py_ssize_t at) except -1:
        """Take in `data[at:]`, as much as may be at once. Returns where that ends. Raises BrokenSessionError."""
        cdef Py_ssize_t end = walk_frames(
            &self.walk, <const unsigned char*>PyBytes_AS_STRING(data), at, PyBytes_GET_SIZE(data)
        )
        cdef Py_ssize_t result
        if not spend(&self.chatter, self.walk.chatter):
            nghttp2.terminate(self.engine, HTTP2_ENHANCE_YOUR_CALM)
            raise BrokenSessionError("ENHANCE_YOUR_CALM")
        self.walk.chatter = 0
        result = self.feed(data, at, end)
        if self.is_flooded or result == NGHTTP2_FLOODED or result == NGHTTP2_TOO_MANY_CONTINUATIONS:
            raise BrokenSessionError("ENHANCE_YOUR_CALM")
        if result < 0:
            raise BrokenSessionError((<bytes>nghttp2.strerror(<int>result)).decode())
        return end

    cdef bint has_head_last(self) noexcept:
        """Whether what is left is a response head only, whose DATA may come with the next bytes."""
        return self.at == self.count - 1 and self.events[self.at].kind == EVENT_RESPONSE

    cdef int work_off(self, HTTP2BackendConnection connection) except -1:
        """Take the next event: tell the side whose stream it is about, or the connection."""
        cdef HTTP2Event event
        if not self.take_event(&event):
            return 0
        try:
            return self._tell(connection, &event)
        finally:
            release_event(&event)

    cdef int _tell(self, HTTP2BackendConnection connection, HTTP2Event* event) except -1:
        cdef HTTP2BackendSide side
        if event.kind == EVENT_SETTINGS:
            return connection.on_settings(event.code)
        if event.kind == EVENT_GOAWAY:
            return connection.on_farewell(event.stream, <uint32_t>event.code, <bytes>event.text)
        side = connection.sides.get(event.stream)
        if side is None:
            # Its exchange has ended meanwhile.
            return connection.on_data_ignored(event.stream, event.size) if event.kind == EVENT_DATA else 0
        try:
            if event.never_indexed != NULL and side.exchange is not None:
                side.exchange.response.never_index(<set>event.never_indexed)
            if event.kind == EVENT_DATA:
                return side.on_data(event.data, event.size, event.is_last)
            if event.kind == EVENT_RESPONSE:
                return self._tell_response(side, <bytes>event.text, event.is_last)
            if event.kind == EVENT_INTERIM:
                return side.on_interim(<bytes>event.text)
            if event.kind == EVENT_TRAILERS:
                return side.on_trailers(<bytes>event.text)
            if event.kind == EVENT_MALFORMED:
                return side.on_malformed(<str>event.text)
            if event.kind == EVENT_RESET:
                return side.on_reset(<uint32_t>event.code)
            return side.on_closed(<uint32_t>event.code)
        except Exception as error:
            return side.on_panic(error)

    cdef int _tell_response(self, HTTP2BackendSide side, bytes head, bint is_last) except -1:
        """A final head, and its first DATA if that is here already: they go out in one write."""
        cdef HTTP2Event following
        side.on_response(head, is_last)
        if side.exchange is None:
            return 0
        if is_last or not self.has_events():
            return side.on_bare_head()
        following = self.events[self.at]
        if following.kind != EVENT_DATA or following.stream != side.stream:
            return side.on_bare_head()
        self.at += 1
        try:
            return side.on_data(following.data, following.size, following.is_last)
        finally:
            release_event(&following)

    cdef bint is_over(self) noexcept:
        """Whether nothing more is to come."""
        return not self.wants_input()

    # --- what goes

    cdef int submit(self, StreamOutput output) except -1:
        """Begin a stream with a request head, whose fields have been read, and a body or None. Returns its number."""
        cdef NGBody body
        cdef int stream
        if output is not None:
            body.source.pointer = <void*>output
            body.read = on_read_body
        stream = nghttp2.submit_request(
            self.engine, NULL, _lines, _line_count, NULL if output is None else &body,
            NULL if output is None else <void*>output,
        )
        self.expect(stream)
        if output is not None:
            list_output(self, output, stream)
        return stream

    cdef int leave(self) except -1:
        """Say that this connection ends, and that nothing is wrong, unless the peer has ended it already."""
        return 0 if self.is_over() else self.say_goodbye(HTTP2_NO_ERROR)
