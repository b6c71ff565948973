# Fields: messages of HTTP/2, which are lists of fields, as text of HTTP/1.1 (ADR 16).
#
# The exchange knows HTTP/1.1 only, so a field that would become another line, another request or another framing there ends its
# stream here (RFC 9113 section 8.2). libnghttp2 looks at most of that, too. Its word is not enough where one wrong
# byte would become a request line.

class MalformedFieldsError(ValueError):
    """These fields are no message of HTTP/2: a stream error of type PROTOCOL_ERROR."""


# Names in HTTP/2 are tokens without capitals (RFC 9113 section 8.2.1).
cdef unsigned char _is_field_name[256]
# What may stand in a target, as a line of HTTP/1.1 has it: nothing that would end it.
cdef unsigned char _is_target[256]


cdef void _make_field_tables():
    cdef int i
    for i in range(256):
        _is_field_name[i] = _is_token[i] and not 65 <= i <= 90
        _is_target[i] = i > 32 and i != 127


_make_field_tables()


# --- lists of fields -----------------------------------------------------------------------------------------------------------

cdef inline bint add_field(
    FieldList* block, const char* name, Py_ssize_t name_size, const char* value, Py_ssize_t value_size,
    bint is_never_indexed
) noexcept:
    """Copy a field to the end of a list. False: there is no memory."""
    cdef FieldEntry* field
    cdef void* grown
    if name_size + value_size > block.room - block.size:
        grown = realloc(block.text, 2 * block.room + name_size + value_size + 256)
        if grown == NULL:
            return False
        block.text = <char*>grown
        block.room = 2 * block.room + name_size + value_size + 256
    if block.count == block.places:
        grown = realloc(block.fields, (2 * block.places + 16) * sizeof(FieldEntry))
        if grown == NULL:
            return False
        block.fields = <FieldEntry*>grown
        block.places = 2 * block.places + 16
    field = &block.fields[block.count]
    field.name = block.size
    field.name_size = name_size
    field.value = block.size + name_size
    field.value_size = value_size
    field.is_never_indexed = is_never_indexed
    block.has_never_indexed |= is_never_indexed
    memcpy(block.text + field.name, name, name_size)
    memcpy(block.text + field.value, value, value_size)
    block.size += name_size + value_size
    block.count += 1
    return True


cdef inline void clear_fields(FieldList* block) noexcept:
    """Begin with an empty list."""
    if block.room > FIELDS_KEPT:
        free_fields(block)
    block.size = block.count = 0
    block.has_never_indexed = False


cdef void free_fields(FieldList* block) noexcept:
    if block != NULL:
        free(block.text)
        free(block.fields)
        memset(block, 0, sizeof(FieldList))


cdef inline Text name_of(FieldList* block, int i) noexcept:
    cdef Text text
    text.start = block.text + block.fields[i].name
    text.size = block.fields[i].name_size
    return text


cdef inline Text value_of(FieldList* block, int i) noexcept:
    cdef Text text
    text.start = block.text + block.fields[i].value
    text.size = block.fields[i].value_size
    return text


cdef set never_indexed_names(FieldList* block):
    """The names of fields that stay out of every table on the way, because their sender wants it so."""
    cdef Text name
    cdef set names = set()
    cdef int i
    for i in range(block.count):
        if block.fields[i].is_never_indexed:
            name = name_of(block, i)
            names.add(name.start[: name.size])
    return names


cdef inline bint is_text(Text text, const char* literal) noexcept:
    """Whether it is there, and the same to the byte."""
    cdef Py_ssize_t size = strlen(literal)
    return text.start != NULL and text.size == size and memcmp(text.start, literal, size) == 0


cdef inline bint has_status(FieldList* block) noexcept:
    """Whether a list is a response's, and no trailer section."""
    return block.count > 0 and is_text(name_of(block, 0), b":status")


cdef inline bint is_interim(FieldList* block) noexcept:
    """Whether a response is not the final one."""
    return block.fields[0].value_size > 0 and block.text[block.fields[0].value] == c"1"


# --- what a field may be ----------------------------------------------------------------------------------------------------

cdef int check_value(Text value) except -1:
    if not has_only(_is_value, value.start, value.size):
        raise MalformedFieldsError("a control character in a value")
    if value.size and (is_blank(value.start[0]) or is_blank(value.start[value.size - 1])):
        raise MalformedFieldsError("a blank around a value")
    return 0


cdef int check_field(Text name, Text value) except -1:
    """Check a field that is no pseudo-header. Returns its kind, HEADER_*."""
    cdef int kind
    if name.size == 0 or not has_only(_is_field_name, name.start, name.size):
        if name.size and name.start[0] == c":":
            raise MalformedFieldsError("a pseudo-header that is not allowed here")
        raise MalformedFieldsError("a malformed name")
    check_value(value)
    kind = known_kind(name.start, name.size)
    if is_connection_field(kind) or (
        kind == HEADER_TE and not (value.size == 8 and is_same_text(value.start, b"trailers", 8))
    ):
        raise MalformedFieldsError("a field about the connection")
    return kind


cdef inline bint is_connection_field(int kind) noexcept:
    """Whether it is about a connection of HTTP/1, of which HTTP/2 knows nothing (RFC 9113 section 8.2.2)."""
    return (
        kind == HEADER_CONNECTION or kind == HEADER_PROXY_CONNECTION or kind == HEADER_KEEP_ALIVE
        or kind == HEADER_TRANSFER_ENCODING or kind == HEADER_UPGRADE
    )


cdef int64_t length_of(const char* value, Py_ssize_t size) except -1:
    """The number that a Content-Length says, which is below 10^18."""
    cdef int64_t number = 0
    cdef Py_ssize_t i
    if not 0 < size <= 18:
        raise MalformedFieldsError("a malformed content-length")
    for i in range(size):
        if not is_digit(value[i]):
            raise MalformedFieldsError("a malformed content-length")
        number = number * 10 + (value[i] - 48)
    return number


cdef inline void put_field_line(Text name, Text value) noexcept:
    put(name.start, name.size)
    put_text(b": ")
    put(value.start, value.size)
    put_text(b"\r\n")


# --- fields -> text ----------------------------------------------------------------------------------------------------------

cdef bytes request_head_of(FieldList* block, bint has_body):
    """The head of a request as text. `has_body`: its stream goes on. Raises MalformedFieldsError."""
    try:
        begin_message()
        put_request_head(block, has_body)
        return take_message()
    except MalformedFieldsError:
        drop_message()
        raise


cdef int put_request_head(FieldList* block, bint has_body) except -1:
    cdef Text name, value
    cdef Text method, scheme, path, authority, host, protocol
    cdef int first = 0
    cdef int cookies = 0
    cdef int i
    cdef int64_t length = -1
    cdef int kind
    method.start = scheme.start = path.start = authority.start = host.start = protocol.start = NULL
    while first < block.count:
        name = name_of(block, first)
        if name.size == 0 or name.start[0] != c":":
            break
        value = value_of(block, first)
        if method.start == NULL and is_text(name, b":method"):
            method = value
        elif scheme.start == NULL and is_text(name, b":scheme"):
            scheme = value
        elif path.start == NULL and is_text(name, b":path"):
            path = value
        elif authority.start == NULL and is_text(name, b":authority"):
            authority = value
        elif protocol.start == NULL and is_text(name, b":protocol"):
            protocol = value
        else:
            raise MalformedFieldsError("a pseudo-header that is unknown or comes twice")
        first += 1
    # Host comes first in the text, wherever it stands here.
    for i in range(first, block.count):
        if block.fields[i].name_size == 4 and is_text(name_of(block, i), b"host"):
            if host.start != NULL:
                raise MalformedFieldsError("Host twice")
            host = value_of(block, i)
    if protocol.start == NULL:
        put_request_line(method, scheme, path, authority)
    else:
        put_connect_line(method, scheme, path, protocol)
    put_line(b"Host: ", host_of(authority, host).start, host_of(authority, host).size)
    for i in range(first, block.count):
        name = name_of(block, i)
        value = value_of(block, i)
        kind = check_field(name, value)
        if kind == HEADER_HOST:
            continue
        if kind == HEADER_COOKIE:
            cookies += 1
            continue
        if kind == HEADER_CONTENT_LENGTH:
            if length >= 0:
                raise MalformedFieldsError("content-length twice")
            length = length_of(value.start, value.size)
        if protocol.start != NULL and is_text(name, b"sec-websocket-key"):
            # There is none in HTTP/2, and one of ours below.
            continue
        put_field_line(name, value)
    if cookies > 0:
        put_cookies(block, first)
    if protocol.start != NULL:
        if length >= 0:
            raise MalformedFieldsError("a content-length of a tunnel")
        put_line(b"Connection: Upgrade\r\nUpgrade: ", protocol.start, protocol.size)
        put_text(b"Sec-WebSocket-Key: ")
        put_bytes(b2a_base64(PyBytes_FromStringAndSize(<const char*>random_bytes(16), 16), newline=False))
        put_text(b"\r\n\r\n")
        return 0
    if not has_body and length > 0:
        raise MalformedFieldsError("a content-length that is not the sum of DATA")
    if has_body and length < 0:
        put_text(b"Transfer-Encoding: chunked\r\n")
    put_text(b"\r\n")
    return 0


cdef bytes refused_head_of(FieldList* block):
    """What a list that is no request, or not all of one, says, as lines of HTTP/1.1 for the log.

    A dash stands for what it lacks. What would not fit in a line, or in what the log looks at, is left out.
    """
    cdef Text name, value
    cdef Text method, path, authority
    cdef Py_ssize_t room = REFUSED_LOOK_MAX
    cdef int i
    method.start = path.start = b"-"
    authority.start = b""
    method.size = path.size = 1
    authority.size = 0
    begin_message()
    for i in range(block.count):
        name = name_of(block, i)
        value = value_of(block, i)
        if value.size > room or not has_only(_is_value, value.start, value.size):
            continue
        if is_text(name, b":method") and value.size and has_only(_is_target, value.start, value.size):
            method = value
        elif is_text(name, b":path") and value.size:
            path = value
        elif is_text(name, b":authority") or (authority.size == 0 and is_text(name, b"host")):
            authority = value
    put(method.start, method.size)
    put_text(b" ")
    put(path.start, path.size)
    put_text(b" HTTP/1.1\r\n")
    put_line(b"Host: ", authority.start, authority.size)
    for i in range(block.count):
        name = name_of(block, i)
        value = value_of(block, i)
        room -= name.size + value.size + 4
        if room < 0:
            break
        if (
            name.size and has_only(_is_token, name.start, name.size) and has_only(_is_value, value.start, value.size)
            and not is_text(name, b"host")
        ):
            put_field_line(name, value)
    return take_message()


cdef void put_cookies(FieldList* block, int first) noexcept:
    """They may come in crumbs, which compress better (RFC 9113 section 8.2.3)."""
    cdef Text value
    cdef bint is_behind_another = False
    cdef int i
    put_text(b"cookie: ")
    for i in range(first, block.count):
        if block.fields[i].name_size == 6 and is_text(name_of(block, i), b"cookie"):
            if is_behind_another:
                put_text(b"; ")
            value = value_of(block, i)
            put(value.start, value.size)
            is_behind_another = True
    put_text(b"\r\n")


cdef int put_connect_line(Text method, Text scheme, Text path, Text protocol) except -1:
    """Extended CONNECT (RFC 8441 section 4): the request by which HTTP/1.1 asks for the same."""
    cdef Text get, nothing
    if not is_text(method, b"CONNECT") or protocol.size != 9 or not is_same_text(protocol.start, b"websocket", 9):
        raise MalformedFieldsError("a protocol that is not WebSocket, or without CONNECT")
    get.start = b"GET"
    get.size = 3
    nothing.start = NULL
    return put_request_line(get, scheme, path, nothing)


cdef int put_request_line(Text method, Text scheme, Text path, Text authority) except -1:
    if method.start == NULL or method.size == 0 or not has_only(_is_token, method.start, method.size):
        raise MalformedFieldsError("no method")
    if is_text(method, b"CONNECT"):
        # RFC 9113 section 8.5.
        if scheme.start != NULL or path.start != NULL or authority.start == NULL:
            raise MalformedFieldsError("a CONNECT with a path or without an authority")
        path = authority
    else:
        if not is_text(scheme, b"https") and not is_text(scheme, b"http"):
            raise MalformedFieldsError("no scheme of HTTP")
        if path.start == NULL or path.size == 0:
            raise MalformedFieldsError("no path")
        if path.start[0] != c"/" and not (is_text(path, b"*") and is_text(method, b"OPTIONS")):
            raise MalformedFieldsError("a path that does not begin with a slash")
    if not has_only(_is_target, path.start, path.size):
        raise MalformedFieldsError("a blank or a control character in the path")
    put(method.start, method.size)
    put_text(b" ")
    put(path.start, path.size)
    put_text(b" HTTP/1.1\r\n")
    return 0


cdef Text host_of(Text authority, Text host) except *:
    """The one host that both name, or that one of them does."""
    if authority.start == NULL:
        authority = host
    elif host.start != NULL and not is_same_host(authority, host):
        raise MalformedFieldsError("Host and :authority that differ")
    if authority.start == NULL or authority.size == 0:
        raise MalformedFieldsError("no host")
    # Not even `@`: who is who is no part of it (RFC 9113 section 8.3.1).
    if not has_only(_is_host, authority.start, authority.size):
        raise MalformedFieldsError("a malformed host")
    return authority


cdef bint is_same_host(Text one, Text other) noexcept:
    cdef Py_ssize_t i
    if one.size != other.size:
        return False
    for i in range(one.size):
        if _lower[<unsigned char>one.start[i]] != _lower[<unsigned char>other.start[i]]:
            return False
    return True


cdef bytes response_head_of(FieldList* block, bint has_body):
    """The head of a response, interim or final, as text. `has_body`: DATA may follow. Raises MalformedFieldsError."""
    try:
        begin_message()
        put_response_head(block, has_body)
        return take_message()
    except MalformedFieldsError:
        drop_message()
        raise


cdef int put_response_head(FieldList* block, bint has_body) except -1:
    cdef Text name, value
    cdef int i
    cdef int64_t length = -1
    cdef int kind, status
    if not has_status(block):
        raise MalformedFieldsError("no status")
    value = value_of(block, 0)
    status = status_of(value)
    # 101 is for HTTP/1 (RFC 9113 section 8.6).
    if status < 100 or status == 101:
        raise MalformedFieldsError("a malformed status")
    put_status_line(1, status)
    for i in range(1, block.count):
        name = name_of(block, i)
        value = value_of(block, i)
        kind = check_field(name, value)
        if kind == HEADER_CONTENT_LENGTH:
            if length >= 0:
                raise MalformedFieldsError("content-length twice")
            length = length_of(value.start, value.size)
        put_field_line(name, value)
    if has_body and length < 0:
        put_text(b"Transfer-Encoding: chunked\r\n")
    put_text(b"\r\n")
    return 0


cdef int status_of(Text value) noexcept:
    """The number of three digits, or 0."""
    if value.size != 3 or not (is_digit(value.start[0]) and is_digit(value.start[1]) and is_digit(value.start[2])):
        return 0
    return (value.start[0] - 48) * 100 + (value.start[1] - 48) * 10 + value.start[2] - 48


cdef bytes trailer_lines_of(FieldList* block):
    """A trailer section as lines, in the form in which `last_chunk` takes them. Raises MalformedFieldsError."""
    cdef int i
    try:
        begin_message()
        for i in range(block.count):
            check_field(name_of(block, i), value_of(block, i))
            put_field_line(name_of(block, i), value_of(block, i))
        return take_message()
    except MalformedFieldsError:
        drop_message()
        raise
