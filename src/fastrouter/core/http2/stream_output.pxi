# StreamOutput: the body of one stream on its way to the peer. It waits here for the peer's windows, and for the end of a wake-up.
#
# libnghttp2 asks for the bytes of a DATA frame when it writes it (`on_read_body`), and has it put behind what is written
# (`on_send_body`), so they are copied once.

# What has been written by the call under way.
cdef char* _output = NULL
cdef Py_ssize_t _output_size = 0
cdef Py_ssize_t _output_room = 0
cdef Py_ssize_t _output_wanted = 0
# Memory of a large body that was written last, for the next one: fresh memory costs a page fault for every 4 KiB.
cdef char* _spare = NULL
cdef Py_ssize_t _spare_room = 0


@cython.final
@cython.freelist(64)
cdef class StreamOutput:
    """What of one stream's body waits for the peer's windows, or for the end of this wake-up."""

    def __dealloc__(self):
        free(self.data)

    cdef Py_ssize_t waiting(self) noexcept:
        """Bytes of body that are not written yet."""
        return self.end - self.start

    cdef int append(self, const char* data, Py_ssize_t size) except -1:
        global _spare, _spare_room
        cdef Py_ssize_t room
        cdef void* grown
        if size > self.room - self.end and self.start > 0:
            self.end -= self.start
            memmove(self.data, self.data + self.start, self.end)
            self.start = 0
        if size > self.room - self.end:
            room = self.end + size
            if self.data == NULL and HTTP2_FRAME_MAX < room <= _spare_room:
                self.data = _spare
                self.room = _spare_room
                _spare = NULL
                _spare_room = 0
            else:
                # What a large body has left, when its backend is read again, has room in front of what comes: from its second
                # read on, as most bodies come with one.
                room += min(self.room, <Py_ssize_t>HTTP2_UNSENT_MAX)
                grown = realloc(self.data, room)
                if grown == NULL:
                    raise MemoryError()
                self.data = <char*>grown
                self.room = room
        memcpy(self.data + self.end, data, size)
        self.end += size
        return 0

    cdef void take(self, Py_ssize_t size) noexcept:
        """So many bytes are written."""
        global _spare, _spare_room
        self.start += size
        if self.start == self.end:
            self.start = self.end = 0
            if self.room > HTTP2_FRAME_MAX:
                if _spare_room < self.room <= RENDER_KEEP:
                    free(_spare)
                    _spare = self.data
                    _spare_room = self.room
                else:
                    free(self.data)
                self.data = NULL
                self.room = 0


cdef void list_output(HTTP2Engine engine, StreamOutput output, int32_t stream) noexcept:
    """The stream has begun: the engine keeps its output until it has ended."""
    output.stream = stream
    output.is_listed = True
    output.next = engine.outputs
    if output.next != NULL:
        (<StreamOutput>output.next).previous = <void*>output
    engine.outputs = <void*>output
    Py_INCREF(output)


cdef void forget_output(HTTP2Engine engine, StreamOutput output) noexcept:
    """The stream has ended: what waits is nobody's."""
    if output.previous != NULL:
        (<StreamOutput>output.previous).next = output.next
    else:
        engine.outputs = output.next
    if output.next != NULL:
        (<StreamOutput>output.next).previous = output.previous
    output.next = output.previous = NULL
    output.is_listed = False
    engine.unsent -= output.end - output.start
    output.start = output.end = 0
    Py_DECREF(output)


cdef void take_turns(void* session, int32_t stream) noexcept:
    """Let the frames of a large body alternate with those of others, where its client has not asked for anything else."""
    cdef NGUrgency urgency
    if nghttp2.get_urgency(session, &urgency, stream) == 0 and not urgency.is_incremental:
        urgency.is_incremental = 1
        nghttp2.change_urgency(session, stream, &urgency, 0)


# --- what libnghttp2 calls when it writes

cdef inline bint put_output(const char* data, Py_ssize_t size) noexcept:
    global _output, _output_size, _output_room
    cdef void* grown
    if size > _output_room - _output_size:
        grown = realloc(_output, _output_size + size + HTTP2_WRITE + HTTP2_FRAME_MAX)
        if grown == NULL:
            return False
        _output = <char*>grown
        _output_room = _output_size + size + HTTP2_WRITE + HTTP2_FRAME_MAX
    memcpy(_output + _output_size, data, size)
    _output_size += size
    return True


cdef Py_ssize_t on_read_body(
    void* session, int32_t stream, uint8_t* into, size_t size, uint32_t* flags, NGSource* source, void* user
) noexcept:
    """libnghttp2 makes a DATA frame, for which the windows have room for `size` bytes."""
    cdef StreamOutput output = <StreamOutput>source.pointer
    cdef Py_ssize_t waiting = output.end - output.start
    cdef Py_ssize_t room = min(<Py_ssize_t>size, HTTP2_DATA_MAX)
    cdef int error
    if waiting == 0 and not output.is_ended:
        output.is_deferred = True
        return NGHTTP2_DEFERRED
    if waiting:
        flags[0] |= NGHTTP2_NO_COPY
    if waiting > room:
        return room
    if output.is_ended:
        flags[0] |= NGHTTP2_EOF
        if output.trailers is not None:
            flags[0] |= NGHTTP2_NO_END_STREAM
            try:
                read_trailer_lines(PyBytes_AS_STRING(output.trailers), PyBytes_GET_SIZE(output.trailers))
                never_index_lines(output.never_indexed)
            except Exception as fault:
                (<HTTP2Engine>user).note_fault(fault)
                return NGHTTP2_CALLBACK_FAILURE
            error = nghttp2.submit_trailer(session, stream, _lines, _line_count)
            if error < 0:
                return NGHTTP2_CALLBACK_FAILURE
    return waiting


cdef int on_send_body(void* session, NGFrame* frame, const char* head, size_t size, NGSource* source, void* user) noexcept:
    """The frame goes out, and with it those behind it, until there is enough."""
    cdef StreamOutput output = <StreamOutput>source.pointer
    if not put_output(head, FRAME_HEAD) or not put_output(output.data + output.start, size):
        return NGHTTP2_CALLBACK_FAILURE
    output.take(size)
    (<HTTP2Engine>user).unsent -= size
    return NGHTTP2_PAUSE if _output_size >= _output_wanted else 0
