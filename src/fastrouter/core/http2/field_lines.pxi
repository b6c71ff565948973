# Field lines: heads and trailers of HTTP/1.1 as fields of HTTP/2, the way back of what `fields.pxi` does (ADR 16).
#
# The text is the router's own, rendered a moment ago: whole lines with CRLF behind them, and an empty one at the end. What is
# read of it are pointers into it, for the call of libnghttp2 that comes next, which copies names and values, and makes small
# letters of the names.

cdef NGField* _lines = NULL
cdef int _line_count = 0
cdef int _line_places = 0
# What `:path` points to if it stands nowhere in the text.
cdef bytes _path = b""


cdef int read_response_head(const char* text, Py_ssize_t size, HeadNotes* notes) except -1:
    """Read the fields of a response head; what it says of its body goes into `notes`."""
    global _line_count
    _line_count = 0
    add_line(b":status", 7, text + 9, 3)
    return add_lines(text, size, NULL, notes)


cdef int read_request_head(const char* text, Py_ssize_t size, bint is_secure, HeadNotes* notes) except -1:
    """Read the fields of a request head; `is_secure`: it goes over TLS."""
    global _line_count, _path
    cdef const char* end = <const char*>memchr(text, c"\r", size) - 9   # Behind the target: ` HTTP/1.1`.
    cdef const char* target = <const char*>memchr(text, c" ", end - text) + 1
    cdef Text authority
    _line_count = 0
    add_line(b":method", 7, text, target - 1 - text)
    add_line(b":scheme", 7, b"https" if is_secure else b"http", 5 if is_secure else 4)
    if target[0] != c"/" and not (end - target == 1 and target[0] == c"*"):
        # Absolute form: the authority is what Host says.
        _path = path_of(target[: end - target])
        target = PyBytes_AS_STRING(_path)
        end = target + PyBytes_GET_SIZE(_path)
    add_line(b":authority", 10, NULL, 0)
    add_line(b":path", 5, target, end - target)
    authority.start = b""
    authority.size = 0
    add_lines(text, size, &authority, notes)
    _lines[2].value = authority.start
    _lines[2].value_size = authority.size
    return 0


cdef bytes path_of(bytes url):
    """Path and query of an absolute URL."""
    cdef bytes rest = url.partition(b"://")[2]
    cdef Py_ssize_t at
    for at in range(PyBytes_GET_SIZE(rest)):
        if PyBytes_AS_STRING(rest)[at] == c"/":
            return rest[at:]
        if PyBytes_AS_STRING(rest)[at] == c"?":
            return b"/" + rest[at:]
    return b"/"


cdef int read_trailer_lines(const char* text, Py_ssize_t size) except -1:
    """Read the fields of the last chunk of a body: `0`, lines, and an empty one."""
    global _line_count
    cdef HeadNotes notes
    _line_count = 0
    return add_lines(text, size, NULL, &notes)


cdef int never_index_lines(set names) except -1:
    """Mark the lines with these names (None: no line) as never to be indexed."""
    cdef int i
    if names is not None:
        for i in range(_line_count):
            if _lines[i].name[: _lines[i].name_size].lower() in names:
                _lines[i].flags = NGHTTP2_NO_INDEX
    return 0


cdef int drop_line(const char* lower, Py_ssize_t size) noexcept:
    """Take the lines with this name out again."""
    global _line_count
    cdef int kept = 0
    cdef int i
    for i in range(_line_count):
        if _lines[i].name_size != <size_t>size or not is_same_text(_lines[i].name, lower, size):
            _lines[kept] = _lines[i]
            kept += 1
    _line_count = kept
    return 0


cdef inline int add_line(const char* name, Py_ssize_t name_size, const char* value, Py_ssize_t value_size) except -1:
    global _lines, _line_count, _line_places
    cdef NGField* line
    cdef void* grown
    if _line_count == _line_places:
        grown = realloc(_lines, (2 * _line_places + 64) * sizeof(NGField))
        if grown == NULL:
            raise MemoryError()
        _lines = <NGField*>grown
        _line_places = 2 * _line_places + 64
    line = &_lines[_line_count]
    line.name = name
    line.name_size = name_size
    line.value = value
    line.value_size = value_size
    line.flags = 0
    _line_count += 1
    return 0


cdef int add_lines(const char* text, Py_ssize_t size, Text* host, HeadNotes* notes) except -1:
    """Add the lines behind the first one, less those about the connection, and less Host if that is wanted apart."""
    cdef const char* end = text + size
    cdef const char* at = <const char*>memchr(text, c"\n", size) + 1
    cdef const char* colon
    cdef const char* value
    cdef const char* newline
    cdef int kind
    notes.length = -1
    notes.is_chunked = False
    while at < end and at[0] != c"\r":
        newline = <const char*>memchr(at, c"\n", end - at)
        colon = <const char*>memchr(at, c":", newline - at)
        kind = known_kind(at, colon - at)
        value = colon + 1
        if value[0] == c" ":
            value += 1
        if host != NULL and kind == HEADER_HOST:
            host.start = value
            host.size = newline - 1 - value
        elif kind == HEADER_TRANSFER_ENCODING:
            notes.is_chunked = True
        elif not is_connection_field(kind):
            if kind == HEADER_CONTENT_LENGTH:
                notes.length = length_of(value, newline - 1 - value)
            add_line(at, colon - at, value, newline - 1 - value)
        at = newline + 1
    return 0


# --- the same for Python ------------------------------------------------------------------------------------------------------

cdef bytes with_fields(object translate, tuple fields, bint has_body):
    cdef FieldList block
    memset(&block, 0, sizeof(FieldList))
    try:
        for name, value in fields:
            if not add_field(&block, <bytes?>name, len(name), <bytes?>value, len(value), False):
                raise MemoryError()
        if translate == "request":
            return request_head_of(&block, has_body)
        return response_head_of(&block, has_body) if translate == "response" else trailer_lines_of(&block)
    finally:
        free_fields(&block)


def http2_request_head(tuple fields not None, bint has_body):
    """Translate the fields of a request into a head of HTTP/1.1; `has_body`: its stream goes on. Raises MalformedFieldsError."""
    return with_fields("request", fields, has_body)


def http2_response_head(tuple fields not None, bint has_body):
    """Translate the fields of a response, interim or final, in the same way."""
    return with_fields("response", fields, has_body)


def http2_trailer_lines(tuple fields not None):
    """Translate the fields of a trailer section into lines. Raises MalformedFieldsError."""
    return with_fields("trailers", fields, False)


cdef list lines_read():
    return [
        (_lines[i].name[: _lines[i].name_size].lower(), _lines[i].value[: _lines[i].value_size]) for i in range(_line_count)
    ]


def http2_request_fields(bytes head not None, bint is_secure):
    """Translate a request head that the router has rendered; `is_secure`: it goes over TLS."""
    cdef HeadNotes notes
    read_request_head(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), is_secure, &notes)
    return lines_read()


def http2_response_fields(bytes head not None):
    """Translate a response head that the router has rendered."""
    cdef HeadNotes notes
    read_response_head(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), &notes)
    return lines_read()
