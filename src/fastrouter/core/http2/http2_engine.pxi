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
            release_event(&self.events[self.at])
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

    cdef bytes known_head(self):
        """What has come of the header block that is awaited, or that was too much, as `refused_head_of` has it."""
        return b"" if self.block == NULL else refused_head_of(self.block)

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
        # One that broke off, with its stream, is nobody's. That by which the connection breaks is looked at once more.
        self.is_in_block = self.is_in_block and (result < 0 or self.is_in_head())
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
        """Take the oldest event, which is the caller's to release. False: there is none."""
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

    cdef int send_trailers(self, StreamOutput output, bytes text, set never_indexed) except -1:
        """End a body with fields: `text` is the last chunk that they are the trailer section of."""
        if output is None or output.is_ended or not output.is_listed:
            return 0
        output.trailers = text
        output.never_indexed = never_indexed
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

    cdef int32_t window_of(self, int32_t stream) noexcept:
        """Bytes of body that the peer would take of `stream`, 0 if it is over; perhaps below 0."""
        return 0 if self.engine == NULL else max(nghttp2.get_stream_remote_window(self.engine, stream), -1)

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


cdef inline void release_event(HTTP2Event* event) noexcept:
    Py_XDECREF(event.text)
    Py_XDECREF(event.never_indexed)


class EngineError(Exception):
    """libnghttp2 refuses what it is asked for. The text is its own."""
