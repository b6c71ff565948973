# Changed headers: request headers that a handler sets or removes, over what the client sent.
#
# Head has what the client sent, and `Request.changed` what handlers have made of it, if they have changed anything.
# prepare_request writes it, and the extra headers of the access log show it.

# What stands before a value, by kind from FIRST_CHANGED on.
cdef tuple _changed_names = tuple([
    canonical(_known_names[kind].lower) + b": " for kind in range(FIRST_CHANGED, LAST_CHANGED + 1)
])


cdef class ChangedHeaders:
    def __dealloc__(self):
        PyMem_Free(self.text)

    cdef ChangedHeader* of(self, int kind) noexcept:
        """What a handler has done to a header; NULL if none has."""
        if FIRST_CHANGED <= kind <= LAST_CHANGED and self.headers[kind - FIRST_CHANGED].is_changed:
            return &self.headers[kind - FIRST_CHANGED]
        return NULL

    cdef int set(self, int kind, const char* value, Py_ssize_t length) except -1:
        cdef ChangedHeader* header = &self.headers[kind - FIRST_CHANGED]
        cdef char* text
        if self.size + length >= self.capacity:
            text = <char*>PyMem_Realloc(self.text, 2 * self.size + length + 256)
            if text == NULL:
                raise MemoryError()
            self.text = text
            self.capacity = 2 * self.size + length + 256
        header.is_changed = header.is_sent = True
        header.value.start = <uint32_t>self.size
        header.value.length = <uint32_t>length
        memcpy(self.text + self.size, value, length)
        self.size += length
        return 0


cdef int set_header(Exchange exchange, Head head, int kind, const char* value, Py_ssize_t length) except -1:
    """Send this one header (FIRST_CHANGED to LAST_CHANGED, its value without control characters) in place of the client's.

    A client that names it in `Connection` has it stripped nevertheless, as in Gorouter (spec 4.4).
    """
    head.drop(kind)
    return exchange.request.changes().set(kind, value, length)


cdef int remove_header(Exchange exchange, Head head, int kind) except -1:
    """Send none of this kind."""
    set_header(exchange, head, kind, b"", 0)
    exchange.request.changed.of(kind).is_sent = False
    return 0


cdef int put_changed_headers(Exchange exchange, Head head) except -1:
    """Append the lines of what was set, but for what `Connection` takes away."""
    cdef ChangedHeaders changed = exchange.request.changed
    cdef bint names_any = head.has(HEADER_CONNECTION)
    cdef Slice value
    cdef int i
    for i in range(CHANGED_KINDS):
        if not changed.headers[i].is_sent or (names_any and head.is_dropped(FIRST_CHANGED + i)):
            continue
        value = changed.headers[i].value
        put_bytes(<bytes>PyTuple_GET_ITEM(_changed_names, i))
        put(changed.text + value.start, value.length)
        put_text(b"\r\n")
    return 0
