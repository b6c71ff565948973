# Callbacks of libnghttp2: what it has found or made becomes an event of the engine. None of them may raise.

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
    if not add_field(_block, name, name_size, value, value_size, flags & NGHTTP2_NO_INDEX != 0):
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
        text = text_of_message(event)
        if _block.has_never_indexed and event.kind != EVENT_NO_REQUEST:
            names = never_indexed_names(_block)
            event.never_indexed = <PyObject*>names
            Py_INCREF(names)
    except Exception as fault:
        engine.note_fault(fault)
        return NGHTTP2_CALLBACK_FAILURE
    event.text = <PyObject*>text
    Py_INCREF(text)
    return 0


cdef inline object text_of_message(HTTP2Event* event):
    """What an event is to tell of the header block that is complete, or why it is none."""
    try:
        if event.kind == EVENT_NO_REQUEST:
            return refused_head_of(_block)
        if event.kind == EVENT_REQUEST:
            return request_head_of(_block, not event.is_last)
        return trailer_lines_of(_block) if event.kind == EVENT_TRAILERS else response_head_of(_block, False)
    except MalformedFieldsError as error:
        if event.kind == EVENT_REQUEST:
            event.kind = EVENT_NO_REQUEST
            return refused_head_of(_block)
        event.kind = EVENT_MALFORMED
        return str(error)


cdef int on_invalid_frame(void* session, const NGFrame* frame, int error, void* user) noexcept:
    """The head of a request that libnghttp2 refuses by itself, with its stream. What else it refuses shows in what it sends."""
    cdef bint is_stream_error = error == NGHTTP2_WRONG_FIELD or error == NGHTTP2_WRONG_MESSAGE
    if is_stream_error and frame.head.kind == FRAME_HEADERS and frame.headers.category == NGHTTP2_REQUEST_HEADERS:
        return add_message(<HTTP2Engine>user, EVENT_NO_REQUEST, frame)
    return 0


cdef int on_frame_sent(void* session, const NGFrame* frame, void* user) noexcept:
    if frame.head.kind == FRAME_GOAWAY:
        (<HTTP2Engine>user).goaway = frame.goaway.code
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
nghttp2.set_on_invalid_frame(_server_callbacks, on_invalid_frame)
nghttp2.set_on_frame_sent(_server_callbacks, on_frame_sent)
_client_callbacks = make_callbacks(on_frame_of_backend)
