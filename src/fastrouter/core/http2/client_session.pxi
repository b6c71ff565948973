# ClientSession: the engine of a client's connection, libnghttp2 by ngh2. No other file of this side names it.
#
# The engine is told what to send and hands out events and bytes; it knows no socket and no clock. What it raises is about the
# connection as a whole, or about a stream that has just ended, which its events will tell.

cdef class ClientSession:
    def __cinit__(self, HTTP2ClientConnection connection):
        cdef Settings settings = connection.plane.settings
        # Resets and chatter have allowances of their own, whose end is ENHANCE_YOUR_CALM.
        self.engine = NGH2Connection(NGH2Role.SERVER, NGH2Configuration(
            auto_window_update=False,
            stream_reset_rate_limit=(1 << 62, 1 << 62),
            max_continuations=settings.max_received_head // 16384 + 1,
            # A list that is a little too large gets its 431; each field counts 32 bytes more here.
            max_inbound_header_list_size=settings.max_received_head + 65536,
            max_inbound_header_count=max(<int>HTTP2_FIELDS_MAX, settings.max_request_headers + 64),
        ))
        self.connection = connection
        self.receive_data = self.engine.receive_data
        self.events = self.engine.events
        self.data_to_send = self.engine.data_to_send
        self.resets = Allowance(HTTP2_RESETS, HTTP2_RESETS_PER_SECOND)
        self.chatter = Allowance(HTTP2_CHATTER, HTTP2_CHATTER_PER_SECOND)
        self.walk.left = PREFACE_SIZE
        self.walk.kind = FRAME_DATA

    cdef int begin(self) except -1:
        """Say what may be sent here."""
        self.engine.initiate_connection({
            NGH2Setting.MAX_CONCURRENT_STREAMS: HTTP2_STREAMS,
            NGH2Setting.INITIAL_WINDOW_SIZE: HTTP2_WINDOW,
            NGH2Setting.MAX_HEADER_LIST_SIZE: self.connection.plane.settings.max_received_head,
            NGH2Setting.ENABLE_CONNECT_PROTOCOL: 1,
            NGH2Setting.NO_RFC7540_PRIORITIES: 1,
        })
        self.engine.set_local_window_size(HTTP2_CONNECTION_WINDOW)
        return 0

    cdef int forget(self) except -1:
        """The connection is gone."""
        self.connection = None
        self.engine = self.receive_data = self.events = self.data_to_send = None
        self.is_over = True
        return 0

    # --- from the client

    cdef Py_ssize_t end_of_slice(self, bytes data, Py_ssize_t at) except -1:
        """Where what may be received at once ends; `data[at:]` is what comes next."""
        return walk_frames(&self.walk, <const unsigned char*>PyBytes_AS_STRING(data), at, PyBytes_GET_SIZE(data))

    cdef bint is_in_head(self) noexcept:
        """Whether the rest of a header block is awaited."""
        return self.walk.is_head_open or (
            self.walk.left > 0 and (self.walk.kind == FRAME_HEADERS or self.walk.kind == FRAME_CONTINUATION)
        )

    cdef int receive(self, bytes data) except -1:
        """Handle bytes of the client; the connection is told what they say."""
        if self.is_over:
            return 0
        if not self.resets.spend(self.walk.resets) or not self.chatter.spend(self.walk.chatter):
            return self._give_up(HTTP2_ENHANCE_YOUR_CALM)
        self.walk.resets = self.walk.chatter = 0
        try:
            self.receive_data(data)
        except NGH2DenialOfServiceError:
            return self._give_up(HTTP2_ENHANCE_YOUR_CALM)
        except NGH2Error:
            return self._give_up(HTTP2_PROTOCOL_ERROR)
        return self.dispatch()

    cdef int dispatch(self) except -1:
        """Tell the connection what has happened."""
        cdef HTTP2ClientConnection connection = self.connection
        if self.is_over:
            return 0
        for event in self.events():
            kind = type(event)
            if kind is NGH2RequestReceived:
                self.last_stream = event.stream_id
                connection.open_stream(event.stream_id, event.headers, event.end_stream)
            elif kind is NGH2DataReceived:
                connection.on_body(event.stream_id, event.data, event.end_stream)
            elif kind is NGH2TrailersReceived:
                connection.on_trailers(event.stream_id, event.headers)
            elif kind is NGH2StreamReset:
                connection.on_reset(event.stream_id)
            elif kind is NGH2StreamClosed:
                connection.on_stream_closed(event.stream_id, event.error_code)
                # Streams that the client makes us reset cost as much as those that it resets.
                if event.error_code and not self.resets.spend(1):
                    return self._give_up(HTTP2_ENHANCE_YOUR_CALM)
            elif kind is NGH2PingAcknowledged:
                connection.on_ping_answered()
            elif kind is NGH2ConnectionClosed:
                # The engine has found a fault, and its GOAWAY is written or about to be.
                self.is_over = True
        return 0

    cdef int _give_up(self, int code) except -1:
        """Nothing that comes from this client is looked at any more."""
        self.is_over = True
        self.last_words = goaway_frame(self.last_stream, code)
        return 0

    # --- to the client

    cdef bytes take(self):
        """The next bytes for the client; empty: none for now."""
        cdef bytes words
        if self.last_words is not None:
            words = self.last_words
            self.last_words = b""
            return words
        if self.engine is None:
            return b""
        try:
            return self.data_to_send(HTTP2_WRITE)
        except NGH2Error:
            self._give_up(HTTP2_INTERNAL_ERROR)
            return self.take()

    cdef int respond(self, uint32_t stream, list fields, bint is_last) except -1:
        """Send the final head of a response."""
        try:
            self.engine.send_response(stream, fields, end_stream=is_last)
        except NGH2Error:
            # The stream ended a moment ago: an event will tell, here as in what follows.
            pass
        return 0

    cdef int inform(self, uint32_t stream, list fields) except -1:
        """Send the head of an interim response."""
        try:
            self.engine.send_informational_response(stream, fields)
        except NGH2Error:
            pass
        return 0

    cdef int send(self, uint32_t stream, object data, bint is_last) except -1:
        """Send bytes of body, when the client's windows let them go."""
        try:
            self.engine.send_data(stream, data, end_stream=is_last)
        except NGH2Error:
            pass
        return 0

    cdef int send_trailers(self, uint32_t stream, list fields) except -1:
        """Send the fields that end a response."""
        try:
            self.engine.send_trailers(stream, fields)
        except NGH2Error:
            pass
        return 0

    cdef int end(self, uint32_t stream) except -1:
        """The response is complete."""
        try:
            self.engine.end_stream(stream)
        except NGH2Error:
            pass
        return 0

    cdef int reset(self, uint32_t stream, int code) except -1:
        """End a stream before its time."""
        try:
            self.engine.reset_stream(stream, code)
        except NGH2Error:
            pass
        return 0

    cdef int acknowledge(self, uint32_t stream, Py_ssize_t size) except -1:
        """So many bytes of body are somebody else's: the client may send as many more."""
        if size and not self.is_over:
            try:
                self.engine.acknowledge_received_data(size, stream)
            except NGH2Error:
                pass
        return 0

    cdef Py_ssize_t unsent_of(self, uint32_t stream) except -1:
        """Bytes of body that wait for the client's window."""
        return 0 if self.is_over else self.engine.queued_body_size(stream)

    cdef Py_ssize_t unsent(self) except -1:
        """The same of all streams."""
        return 0 if self.is_over else self.engine.queued_body_size()

    cdef int notify_shutdown(self) except -1:
        """Ask the client to open no more streams, and for a sign that it knows."""
        if not self.is_over:
            try:
                self.engine.send_shutdown_notice()
                self.engine.ping()
            except NGH2Error:
                pass
        return 0

    cdef int say_goodbye(self, int code) except -1:
        """Tell the client which of its streams is the last one that counts."""
        if not self.is_over:
            try:
                self.engine.send_goaway(code)
            except NGH2Error:
                pass
        return 0
