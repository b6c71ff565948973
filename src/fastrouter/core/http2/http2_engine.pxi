# HTTP2Engine: libnghttp2's part of one connection, of either side: bytes become events, and messages become bytes.
#
# Nothing is called back while it works: what it tells of lies in a queue of C structs until the session has time for it, and DATA
# are pointers into what was received. No callback lets an exception out: it is kept, and the call from which libnghttp2 was
# entered raises it.

# The fields of the header block that comes in at this moment, while nobody else's is interrupted.
cdef FieldList _incoming
cdef FieldList* _block = &_incoming
cdef void* _server_callbacks = NULL
cdef void* _client_callbacks = NULL


cdef class HTTP2Engine:
    def __dealloc__(self):
        self._free()

    cdef int open(self, bint is_server, Py_ssize_t largest_sent, Py_ssize_t continuations) except -1:
        """Begin. A header block to the peer has `largest_sent` bytes at most; one from it, so many CONTINUATION frames."""
        global _lends_frame_buffer
        cdef void* option = NULL
        cdef int error = nghttp2.option_new(&option)
        if error == 0:
            nghttp2.set_no_auto_window_update(option, 1)
            nghttp2.set_max_continuations(option, continuations)
            nghttp2.set_max_send_header_block_length(option, largest_sent)
            _lends_frame_buffer = is_server
            if is_server:
                # Resets have an allowance of their own, whose end is ENHANCE_YOUR_CALM.
                nghttp2.set_stream_reset_rate_limit(option, <uint64_t>1 << 62, <uint64_t>1 << 62)
                nghttp2.set_builtin_recv_extension_type(option, FRAME_PRIORITY_UPDATE)
                # What a table of ours would save of the next responses costs 2 KiB of every idle connection.
                nghttp2.set_max_deflate_dynamic_table_size(option, 0)
                error = nghttp2.session_server_new(
                    &self.engine, _server_callbacks, <void*>self, option, &_engine_memory
                )
            else:
                error = nghttp2.session_client_new(
                    &self.engine, _client_callbacks, <void*>self, option, &_engine_memory
                )
            _lends_frame_buffer = False
            nghttp2.option_del(option)
        return self.expect(error)

    cdef int expect(self, Py_ssize_t result) except -1:
        """Raise what `result` of a function of libnghttp2 says that must not fail."""
        if result < 0:
            if self.fault is not None:
                raise self.fault
            if result == NGHTTP2_NO_MEMORY:
                raise MemoryError()
            raise EngineError((<bytes>nghttp2.strerror(<int>result)).decode())
        return 0

    cdef void close(self) noexcept:
        """The connection is gone: nothing comes or goes any more."""
        self.walk.engine = NULL
        self._free()

    cdef void _free(self) noexcept:
        if self.engine != NULL:
            nghttp2.session_del(self.engine)
            self.engine = NULL
        while self.outputs != NULL:
            forget_output(self, <StreamOutput>self.outputs)
        while self.at < self.count:
            Py_XDECREF(self.events[self.at].text)
            self.at += 1
        free(self.events)
        self.events = NULL
        self.at = self.count = self.places = 0
        free_fields(self.block)
        free(self.block)
        self.block = NULL

    # --- what comes

    cdef bint is_in_head(self) noexcept:
        """Whether the rest of a header block is awaited."""
        return self.walk.is_head_open or (
            self.walk.left > 0 and (self.walk.kind == FRAME_HEADERS or self.walk.kind == FRAME_CONTINUATION)
        )

    cdef Py_ssize_t block_size(self) noexcept:
        """Bytes of the fields of a header block of which the rest is awaited."""
        return 0 if self.block == NULL else self.block.size

    cdef Py_ssize_t feed(self, bytes data, Py_ssize_t at, Py_ssize_t end) except? -1:
        """Work on `data[at:end]`, whose events are queued. Returns what libnghttp2 returns: below 0 an error that is the end."""
        global _block
        cdef Py_ssize_t result
        if self.block != NULL:
            # The rest of a header block that has begun in an earlier piece.
            _block = self.block
        self.input = data
        result = nghttp2.mem_recv(self.engine, PyBytes_AS_STRING(data) + at, end - at)
        self.input = None
        # One that broke off, with its stream, is nobody's.
        self.is_in_block = self.is_in_block and self.is_in_head()
        if self.is_in_block and self.block == NULL:
            self.block = <FieldList*>calloc(1, sizeof(FieldList))
            if self.block == NULL:
                self.is_in_block = False
                raise MemoryError()
            self.block[0] = _incoming
            memset(&_incoming, 0, sizeof(FieldList))
        elif self.block != NULL and not self.is_in_block:
            free_fields(self.block)
            free(self.block)
            self.block = NULL
        _block = &_incoming
        if self.fault is not None:
            raise self.fault
        return result

    cdef inline HTTP2Event* add_event(self, int kind, int32_t stream) noexcept:
        """A new event at the end of the queue; NULL if there is no memory, which is kept as a fault."""
        cdef HTTP2Event* event
        cdef void* grown
        if self.at == self.count:
            self.at = self.count = 0
        if self.count == self.places:
            grown = realloc(self.events, (2 * self.places + 8) * sizeof(HTTP2Event))
            if grown == NULL:
                self.note_fault(MemoryError())
                return NULL
            self.events = <HTTP2Event*>grown
            self.places = 2 * self.places + 8
        event = &self.events[self.count]
        memset(event, 0, sizeof(HTTP2Event))
        event.kind = kind
        event.stream = stream
        self.count += 1
        return event

    cdef bint take_event(self, HTTP2Event* event) noexcept:
        """Take the oldest event, whose `text` is the caller's to release. False: there is none."""
        if self.at == self.count:
            # A connection that waits keeps no memory for them.
            free(self.events)
            self.events = NULL
            self.at = self.count = self.places = 0
            return False
        event[0] = self.events[self.at]
        self.at += 1
        return True

    cdef inline bint has_events(self) noexcept:
        return self.at < self.count

    cdef void note_fault(self, object error) noexcept:
        if self.fault is None:
            self.fault = error

    cdef bint wants_input(self) noexcept:
        """Whether anything more is to come: not after a GOAWAY that was the end."""
        return self.engine != NULL and nghttp2.want_read(self.engine) != 0

    # --- what goes

    cdef bytes output(self, Py_ssize_t wanted):
        """The next bytes for the peer: at least `wanted`, if there are so many that its windows allow."""
        global _output_size, _output_wanted
        cdef const char* piece
        cdef Py_ssize_t size
        _output_size = 0
        _output_wanted = wanted
        while _output_size < wanted:
            size = nghttp2.mem_send(self.engine, &piece)
            if size <= 0:
                self.expect(size)
                break
            if not put_output(piece, size):
                raise MemoryError()
        return PyBytes_FromStringAndSize(_output, _output_size)

    cdef int send(self, StreamOutput output, const char* data, Py_ssize_t size, bint is_last) except -1:
        """Send bytes of body when the peer's windows let them go; `is_last`: there are no more."""
        if output is None or output.is_ended or not output.is_listed:
            return 0
        output.append(data, size)
        self.unsent += size
        output.is_ended = is_last
        return self._go_on(output)

    cdef int send_trailers(self, StreamOutput output, bytes text) except -1:
        """End a body with fields: `text` is the last chunk that they are the trailer section of."""
        if output is None or output.is_ended or not output.is_listed:
            return 0
        output.trailers = text
        output.is_ended = True
        return self._go_on(output)

    cdef inline int _go_on(self, StreamOutput output) except -1:
        if output.is_deferred:
            output.is_deferred = False
            nghttp2.resume_data(self.engine, output.stream)
        if output.end - output.start > HTTP2_FRAME_MAX and not output.is_large:
            output.is_large = True
            take_turns(self.engine, output.stream)
        return 0

    cdef int reset(self, int32_t stream, uint32_t code) except -1:
        """End a stream before its time; one that is over already needs nothing."""
        if self.engine != NULL:
            nghttp2.submit_rst_stream(self.engine, FRAME_FLAG_NONE, stream, code)
        return 0

    cdef int acknowledge(self, int32_t stream, Py_ssize_t size) except -1:
        """So many bytes of body are somebody else's: the peer may send as many more."""
        if size and self.engine != NULL:
            nghttp2.consume(self.engine, stream, size)
        return 0

    cdef int ping(self) except -1:
        if self.engine != NULL:
            nghttp2.submit_ping(self.engine, FRAME_FLAG_NONE, NULL)
        return 0

    cdef int say_goodbye(self, uint32_t code) except -1:
        """Tell the peer which of its streams is the last one that counts, and that there are no further ones."""
        if self.engine != NULL:
            nghttp2.submit_goaway(
                self.engine, FRAME_FLAG_NONE, nghttp2.get_last_proc_stream_id(self.engine), code, NULL, 0
            )
        return 0


class EngineError(Exception):
    """libnghttp2 refuses what it is asked for. The text is its own."""


# --- callbacks

cdef int on_begin_headers(void* session, const NGFrame* frame, void* user) noexcept:
    (<HTTP2Engine>user).is_in_block = True
    clear_fields(_block)
    return 0


cdef int on_header(
    void* session, const NGFrame* frame, const char* name, size_t name_size, const char* value, size_t value_size,
    uint8_t flags, void* user
) noexcept:
    cdef HTTP2Engine engine = <HTTP2Engine>user
    # As HPACK's tables count it (RFC 9113 section 6.5.2).
    if (
        _block.size + 32 * _block.count + <Py_ssize_t>(name_size + value_size) + 32 > engine.max_list_size
        or _block.count >= engine.max_list_count
    ):
        engine.is_flooded = True
        return NGHTTP2_CALLBACK_FAILURE
    if not add_field(_block, name, name_size, value, value_size):
        engine.note_fault(MemoryError())
        return NGHTTP2_CALLBACK_FAILURE
    return 0


cdef int on_invalid_header(
    void* session, const NGFrame* frame, const char* name, size_t name_size, const char* value, size_t value_size,
    uint8_t flags, void* user
) noexcept:
    # Otherwise it would pass the message on without this field.
    return NGHTTP2_STREAM_FAILURE


cdef int on_data_chunk(void* session, uint8_t flags, int32_t stream, const char* data, size_t size, void* user) noexcept:
    cdef HTTP2Engine engine = <HTTP2Engine>user
    cdef HTTP2Event* event = engine.add_event(EVENT_DATA, stream)
    if event == NULL:
        return NGHTTP2_CALLBACK_FAILURE
    event.data = data
    event.size = size
    event.text = <PyObject*>engine.input
    Py_INCREF(engine.input)
    return 0


cdef inline HTTP2Event* add_end_of_data(HTTP2Engine engine, int32_t stream) noexcept:
    """END_STREAM: it belongs to the last piece of DATA, if that is still the last event."""
    cdef HTTP2Event* event
    if engine.has_events():
        event = &engine.events[engine.count - 1]
        if event.kind == EVENT_DATA and event.stream == stream:
            event.is_last = True
            return event
    event = engine.add_event(EVENT_DATA, stream)
    if event != NULL:
        event.data = b""
        event.is_last = True
    return event


cdef inline int add_message(HTTP2Engine engine, int kind, const NGFrame* frame) noexcept:
    """A header block is complete: make text of it."""
    cdef HTTP2Event* event = engine.add_event(kind, frame.head.stream)
    cdef object text
    if event == NULL:
        return NGHTTP2_CALLBACK_FAILURE
    event.is_last = frame.head.flags & FRAME_FLAG_END_STREAM != 0
    try:
        if kind == EVENT_REQUEST:
            text = request_head_of(_block, not event.is_last)
        elif kind == EVENT_TRAILERS:
            text = trailer_lines_of(_block)
        else:
            text = response_head_of(_block, False)
    except MalformedFieldsError as error:
        event.kind = EVENT_MALFORMED
        text = str(error)
    except Exception as fault:
        engine.note_fault(fault)
        return NGHTTP2_CALLBACK_FAILURE
    event.text = <PyObject*>text
    Py_INCREF(text)
    return 0


cdef int on_frame_of_client(void* session, const NGFrame* frame, void* user) noexcept:
    cdef HTTP2Engine engine = <HTTP2Engine>user
    if frame.head.kind == FRAME_HEADERS:
        engine.is_in_block = False
        return add_message(
            engine, EVENT_REQUEST if frame.headers.category == NGHTTP2_REQUEST_HEADERS else EVENT_TRAILERS, frame
        )
    if frame.head.kind == FRAME_DATA:
        if frame.head.flags & FRAME_FLAG_END_STREAM and add_end_of_data(engine, frame.head.stream) == NULL:
            return NGHTTP2_CALLBACK_FAILURE
    elif frame.head.kind == FRAME_RST_STREAM:
        if engine.add_event(EVENT_RESET, frame.head.stream) == NULL:
            return NGHTTP2_CALLBACK_FAILURE
    elif frame.head.kind == FRAME_PING:
        if frame.head.flags & FRAME_FLAG_ACK and engine.add_event(EVENT_PONG, 0) == NULL:
            return NGHTTP2_CALLBACK_FAILURE
    return 0


cdef int on_frame_of_backend(void* session, const NGFrame* frame, void* user) noexcept:
    cdef HTTP2Engine engine = <HTTP2Engine>user
    cdef HTTP2Event* event
    cdef size_t i
    if frame.head.kind == FRAME_HEADERS:
        engine.is_in_block = False
        # Only heads have a status.
        if not has_status(_block):
            return add_message(engine, EVENT_TRAILERS, frame)
        return add_message(engine, EVENT_INTERIM if is_interim(_block) else EVENT_RESPONSE, frame)
    if frame.head.kind == FRAME_DATA:
        if frame.head.flags & FRAME_FLAG_END_STREAM and add_end_of_data(engine, frame.head.stream) == NULL:
            return NGHTTP2_CALLBACK_FAILURE
    elif frame.head.kind == FRAME_RST_STREAM:
        event = engine.add_event(EVENT_RESET, frame.head.stream)
        if event == NULL:
            return NGHTTP2_CALLBACK_FAILURE
        event.code = frame.reset.code
    elif frame.head.kind == FRAME_SETTINGS and not frame.head.flags & FRAME_FLAG_ACK:
        event = engine.add_event(EVENT_SETTINGS, 0)
        if event == NULL:
            return NGHTTP2_CALLBACK_FAILURE
        event.code = -1
        for i in range(frame.settings.count):
            if frame.settings.settings[i].identifier == SETTING_MAX_CONCURRENT_STREAMS:
                event.code = frame.settings.settings[i].value
    elif frame.head.kind == FRAME_GOAWAY:
        event = engine.add_event(EVENT_GOAWAY, frame.goaway.last_stream)
        if event == NULL:
            return NGHTTP2_CALLBACK_FAILURE
        event.code = frame.goaway.code
        try:
            text = PyBytes_FromStringAndSize(frame.goaway.text, frame.goaway.size)
        except MemoryError as fault:
            engine.note_fault(fault)
            return NGHTTP2_CALLBACK_FAILURE
        event.text = <PyObject*>text
        Py_INCREF(text)
    return 0


cdef int on_stream_close(void* session, int32_t stream, uint32_t code, void* user) noexcept:
    cdef HTTP2Engine engine = <HTTP2Engine>user
    cdef HTTP2Event* event = engine.add_event(EVENT_CLOSED, stream)
    cdef void* output = nghttp2.get_stream_user_data(session, stream)
    if output != NULL:
        forget_output(engine, <StreamOutput>output)
    if event == NULL:
        return NGHTTP2_CALLBACK_FAILURE
    event.code = code
    return 0


cdef void on_random(uint8_t* into, size_t size) noexcept:
    try:
        memcpy(into, random_bytes(size), size)
    except Exception:
        # It only seeds a hash table.
        memset(into, 0, size)


cdef void* make_callbacks(NGOnFrame on_frame) except NULL:
    cdef void* callbacks = NULL
    if nghttp2.callbacks_new(&callbacks) < 0:
        raise MemoryError()
    nghttp2.set_on_begin_headers(callbacks, on_begin_headers)
    nghttp2.set_on_header(callbacks, on_header)
    nghttp2.set_on_invalid_header(callbacks, on_invalid_header)
    nghttp2.set_on_data(callbacks, on_data_chunk)
    nghttp2.set_on_frame_recv(callbacks, on_frame)
    nghttp2.set_on_stream_close(callbacks, on_stream_close)
    nghttp2.set_send_data(callbacks, on_send_body)
    nghttp2.set_rand(callbacks, on_random)
    return callbacks


_server_callbacks = make_callbacks(on_frame_of_client)
_client_callbacks = make_callbacks(on_frame_of_backend)
