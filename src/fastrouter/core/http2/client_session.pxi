# ClientSession: the protocol of a client's connection. What libnghttp2 tells becomes calls, what exchanges say becomes frames.
#
# What is asked of a stream that has just ended is ignored here: an event will tell.

cdef class ClientSession(HTTP2Engine):
    def __cinit__(self, HTTP2ClientConnection connection):
        cdef Settings settings = connection.plane.settings
        # A list that is a little too large gets its 431; each field counts 32 bytes more here.
        self.max_list_size = settings.max_received_head + HEADER_LIST_SLOP
        self.max_list_count = max(<int>HTTP2_FIELDS_MAX, settings.max_request_headers + 64)
        self.open(True, max(65536, 2 * settings.max_response_head), settings.max_received_head // 16384 + 1)
        self.connection = connection
        allow(&self.resets, HTTP2_RESETS, HTTP2_RESETS_PER_SECOND)
        allow(&self.chatter, HTTP2_CHATTER, HTTP2_CHATTER_PER_SECOND)
        self.walk.engine = self.engine
        self.walk.left = PREFACE_SIZE
        self.walk.kind = FRAME_DATA

    cdef int begin(self) except -1:
        """Say what may be sent here."""
        cdef NGSetting[5] settings
        settings[0].identifier = SETTING_MAX_CONCURRENT_STREAMS
        settings[0].value = HTTP2_STREAMS
        settings[1].identifier = SETTING_INITIAL_WINDOW_SIZE
        settings[1].value = HTTP2_WINDOW
        settings[2].identifier = SETTING_MAX_HEADER_LIST_SIZE
        settings[2].value = <uint32_t>self.connection.plane.settings.max_received_head
        settings[3].identifier = SETTING_ENABLE_CONNECT_PROTOCOL
        settings[3].value = 1
        settings[4].identifier = SETTING_NO_RFC7540_PRIORITIES
        settings[4].value = 1
        self.expect(nghttp2.submit_settings(self.engine, FRAME_FLAG_NONE, settings, 5))
        return self.expect(nghttp2.set_local_window_size(self.engine, FRAME_FLAG_NONE, 0, HTTP2_CONNECTION_WINDOW))

    # --- from the client

    cdef Py_ssize_t receive(self, bytes data, Py_ssize_t at) except -1:
        """Handle bytes of the client, `data[at:]` or as much of it as may be at once; the connection is told what they say.

        Returns where that ends.
        """
        cdef Py_ssize_t end = walk_frames(
            &self.walk, <const unsigned char*>PyBytes_AS_STRING(data), at, PyBytes_GET_SIZE(data)
        )
        cdef Py_ssize_t result
        if not spend(&self.resets, self.walk.resets) or not spend(&self.chatter, self.walk.chatter):
            self._give_up(HTTP2_ENHANCE_YOUR_CALM)
            return end
        self.walk.resets = self.walk.chatter = 0
        result = self.feed(data, at, end)
        if self.is_flooded or result == NGHTTP2_FLOODED or result == NGHTTP2_TOO_MANY_CONTINUATIONS:
            self._give_up(HTTP2_ENHANCE_YOUR_CALM)
        elif result < 0:
            self._give_up(HTTP2_PROTOCOL_ERROR)
        else:
            self.dispatch()
            if self.walk.fault and not self.is_over:
                self._give_up(self.walk.fault)
            elif self.walk.overfull and not self.is_over:
                self._end_overfull(self.walk.overfull)
        return end

    cdef int _end_overfull(self, int32_t stream) except -1:
        """The client lets more be sent on this stream than can be counted: it ends, before that gets to the engine."""
        self.walk.overfull = 0
        self.reset(stream, HTTP2_FLOW_CONTROL_ERROR)
        self.connection.write_now()
        if not self.is_over and nghttp2.get_stream_remote_close(self.engine, stream) >= 0:
            # It takes nothing, not even that.
            self._give_up(HTTP2_FLOW_CONTROL_ERROR)
        return 0

    cdef int dispatch(self) except -1:
        """Tell the connection what has happened."""
        cdef HTTP2Event event
        while not self.is_over and self.take_event(&event):
            try:
                self._tell(&event)
            finally:
                Py_XDECREF(event.text)
        if not self.wants_input():
            # The end that one side has announced, or a fault that the engine has found: its GOAWAY is written.
            self.is_over = True
        return 0

    cdef int _tell(self, HTTP2Event* event) except -1:
        cdef HTTP2ClientConnection connection = self.connection
        if event.kind == EVENT_REQUEST:
            self.last_stream = event.stream
            return connection.open_stream(event.stream, <bytes>event.text, event.is_last)
        if event.kind == EVENT_CLOSED:
            connection.on_stream_closed(event.stream, <uint32_t>event.code)
            # Streams that the client makes us reset cost as much as those that it resets.
            if event.code and not spend(&self.resets, 1):
                self._give_up(HTTP2_ENHANCE_YOUR_CALM)
            return 0
        if event.kind == EVENT_DATA:
            return connection.on_body(event.stream, event.data, event.size, event.is_last)
        if event.kind == EVENT_TRAILERS:
            return connection.on_trailers(event.stream, <bytes>event.text)
        if event.kind == EVENT_RESET:
            return connection.on_reset(event.stream)
        if event.kind == EVENT_MALFORMED:
            self.last_stream = max(self.last_stream, <uint32_t>event.stream)
            return connection.on_malformed(event.stream)
        return connection.on_ping_answered()

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
        if self.engine == NULL:
            return b""
        try:
            return self.output(HTTP2_WRITE)
        except EngineError:
            self._give_up(HTTP2_INTERNAL_ERROR)
            return self.take()

    cdef StreamOutput respond(self, int32_t stream, bint is_last):
        """Send the final head of a response, whose fields have been read. Returns where its body goes; None: it has none."""
        cdef StreamOutput output = None
        cdef NGBody body
        # A stream that does not exist any more has no use for either.
        if self.engine == NULL or nghttp2.get_stream_local_close(self.engine, stream) != 0:
            return None
        if not is_last:
            output = StreamOutput()
            body.source.pointer = <void*>output
            body.read = on_read_body
        if nghttp2.submit_response(self.engine, stream, _lines, _line_count, NULL if is_last else &body) < 0 or is_last:
            return None
        nghttp2.set_stream_user_data(self.engine, stream, <void*>output)
        list_output(self, output, stream)
        return output

    cdef int inform(self, int32_t stream) except -1:
        """Send the head of an interim response, whose fields have been read."""
        if self.engine != NULL and nghttp2.get_stream_local_close(self.engine, stream) == 0:
            nghttp2.submit_headers(self.engine, FRAME_FLAG_NONE, stream, NULL, _lines, _line_count, NULL)
        return 0

    cdef int notify_shutdown(self) except -1:
        """Ask the client to open no more streams, and for a sign that it knows."""
        if not self.is_over:
            nghttp2.submit_shutdown_notice(self.engine)
            self.ping()
        return 0
