# HTTP2BackendSession: the protocol of one connection to a backend. Nothing else towards backends knows which library speaks it.
#
# ngh2 is libnghttp2 without sockets (ADR 16): it is given bytes, reports events, and gives bytes back. It sees to frames, HPACK,
# states of streams, both directions of flow control, and the rules that fields and DATA must keep.

cdef object RESPONSE_RECEIVED = ngh2.ResponseReceived
cdef object INTERIM_RECEIVED = ngh2.InformationalResponseReceived
cdef object DATA_RECEIVED = ngh2.DataReceived
cdef object TRAILERS_RECEIVED = ngh2.TrailersReceived
cdef object STREAM_RESET = ngh2.StreamReset
cdef object STREAM_CLOSED = ngh2.StreamClosed
cdef object SETTINGS_RECEIVED = ngh2.SettingsReceived
cdef object GOAWAY_RECEIVED = ngh2.GoAwayReceived
# As in HPACK's tables, each field costs its peer this much of a list (RFC 9113 section 6.5.2).
cdef int FIELD_OVERHEAD = 32


class BrokenSessionError(Exception):
    """The peer has broken the protocol, or ended it: nothing goes on here. The text is the name of an error code."""


cdef str error_name(int code):
    """An error code of RST_STREAM or GOAWAY as Go prints it."""
    try:
        return ngh2.ErrorCode(code).name
    except ValueError:
        return f"unknown error code 0x{code:x}"


cdef class HTTP2BackendSession:
    def __cinit__(self, Settings settings):
        # A head beyond the limit ends its stream only. One that is far beyond ends the connection.
        largest = 2 * settings.max_response_head
        self.engine = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration(
            auto_window_update=False,
            max_inbound_header_list_size=largest,
            max_inbound_header_count=largest // FIELD_OVERHEAD + 1,
            max_continuations=largest // 16384 + 8,
            max_send_header_block_length=2 * settings.max_received_head,
        ))
        self.engine.initiate_connection({
            ngh2.Setting.ENABLE_PUSH: 0,
            ngh2.Setting.INITIAL_WINDOW_SIZE: BACKEND_STREAM_WINDOW,
            ngh2.Setting.MAX_HEADER_LIST_SIZE: settings.max_response_head,
        })
        self.engine.set_local_window_size(BACKEND_WINDOW)
        self.receive_data = self.engine.receive_data
        self.data_to_send = self.engine.data_to_send
        self.events = []
        self.chatter = Allowance(HTTP2_CHATTER, HTTP2_CHATTER_PER_SECOND)

    # --- what comes

    cdef Py_ssize_t receive(self, bytes data, Py_ssize_t at) except -1:
        """Take in `data[at:]`, as much as may be at once. Returns where that ends. Raises BrokenSessionError."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t end = walk_frames(&self.walk, <const unsigned char*>PyBytes_AS_STRING(data), at, size)
        try:
            if not self.chatter.spend(self.walk.chatter):
                self.engine.terminate_connection(HTTP2_ENHANCE_YOUR_CALM)
                raise BrokenSessionError("ENHANCE_YOUR_CALM")
            self.walk.chatter = 0
            self.receive_data(data if end - at == size else memoryview(data)[at:end])
        except ngh2.DenialOfServiceError as error:
            raise BrokenSessionError("ENHANCE_YOUR_CALM") from error
        except ngh2.NGH2Error as error:
            raise BrokenSessionError(str(error)) from error
        self.collect()
        return end

    cdef bint has_head_last(self) noexcept:
        """Whether what is left is a response head only, whose DATA may come with the next bytes."""
        return self.at == PyList_GET_SIZE(self.events) - 1 and (
            type(<object>PyList_GET_ITEM(self.events, self.at)) is RESPONSE_RECEIVED
        )

    cdef bint collect(self) except -1:
        """Take over what the engine reports; some streams end when it writes. Returns whether there is something."""
        cdef list reported = self.engine.events()
        if PyList_GET_SIZE(reported) == 0:
            return self.has_events()
        self.events = self.events[self.at :] + reported if self.has_events() else reported
        self.at = 0
        return True

    cdef bint has_events(self) noexcept:
        """Whether something of what has come is not worked off."""
        return self.at < PyList_GET_SIZE(self.events)

    cdef int take_event(self, HTTP2BackendConnection connection) except -1:
        """Work off the next one: tell the side whose stream it is about, or the connection."""
        cdef object event = <object>PyList_GET_ITEM(self.events, self.at)
        cdef object kind = type(event)
        cdef HTTP2BackendSide side
        cdef int code
        self.at += 1
        if kind is SETTINGS_RECEIVED:
            return connection.on_settings(event.settings.get(ngh2.Setting.MAX_CONCURRENT_STREAMS, -1))
        if kind is GOAWAY_RECEIVED:
            return connection.on_farewell(event.last_stream_id, event.error_code, event.debug_data)
        if not (
            kind is DATA_RECEIVED or kind is RESPONSE_RECEIVED or kind is STREAM_CLOSED or kind is TRAILERS_RECEIVED
            or kind is INTERIM_RECEIVED or kind is STREAM_RESET
        ):
            # PING and SETTINGS are answered already, and what a window allows goes out in any case.
            return 0
        side = connection.sides.get(event.stream_id)
        if side is None:
            # Its exchange has ended meanwhile.
            return connection.on_data_ignored(event.stream_id, len(event.data)) if kind is DATA_RECEIVED else 0
        try:
            if kind is DATA_RECEIVED:
                return side.on_data(event.data, event.end_stream)
            if kind is RESPONSE_RECEIVED:
                return self._take_response(side, event)
            if kind is INTERIM_RECEIVED:
                return side.on_interim(event.headers)
            if kind is TRAILERS_RECEIVED:
                return side.on_trailers(event.headers)
            code = event.error_code
            return side.on_reset(code) if kind is STREAM_RESET else side.on_closed(code)
        except Exception as error:
            return side.on_panic(error)

    cdef int _take_response(self, HTTP2BackendSide side, object event) except -1:
        """A final head, and its first DATA if that is here already: they go out in one write."""
        cdef object following
        side.on_response(event.headers, event.end_stream)
        if side.exchange is None:
            return 0
        if not event.end_stream and self.has_events():
            following = <object>PyList_GET_ITEM(self.events, self.at)
            if type(following) is DATA_RECEIVED and following.stream_id == side.stream:
                self.at += 1
                return side.on_data(following.data, following.end_stream)
        return side.on_bare_head()

    cdef bint is_over(self) except -1:
        """Whether nothing more is to come."""
        return not self.engine.want_read

    # --- what goes

    cdef int submit(self, list fields, bint is_last) except -1:
        """Begin a stream with a request head; `is_last`: that is all. Returns its number."""
        return self.engine.send_request(fields, end_stream=is_last)

    cdef int send(self, int stream, object data, bint is_last) except -1:
        self.engine.send_data(stream, data, end_stream=is_last)
        return 0

    cdef int send_trailers(self, int stream, list fields) except -1:
        """End the request, with these fields behind its body if there are any."""
        if fields:
            self.engine.send_trailers(stream, fields)
        else:
            self.engine.end_stream(stream)
        return 0

    cdef Py_ssize_t queued(self, int stream) except -1:
        """Bytes of request body that wait in here for the peer's windows, or for the next write."""
        return self.engine.queued_body_size(stream)

    cdef int reset(self, int stream, int code) except -1:
        """End a stream, if it is not over in both directions."""
        if not self.is_over():
            self.engine.reset_stream(stream, code)
        return 0

    cdef int acknowledge(self, int stream, Py_ssize_t size) except -1:
        """Let the peer send as much again."""
        if not self.is_over():
            self.engine.acknowledge_received_data(size, stream)
        return 0

    cdef int ping(self) except -1:
        self.engine.ping()
        return 0

    cdef int leave(self) except -1:
        """Say that this connection ends, and that nothing is wrong, unless the peer has ended it already."""
        if not self.is_over():
            self.engine.send_goaway(HTTP2_NO_ERROR)
        return 0

    cdef bytes output(self):
        """The next bytes for the peer, at most OUTPUT_SLICE; empty if there are none, or its windows are closed."""
        try:
            return self.data_to_send(OUTPUT_SLICE)
        except ngh2.NGH2Error:
            # It has ended in a way that leaves it no last word.
            return b""
