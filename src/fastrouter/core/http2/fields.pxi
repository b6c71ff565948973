# Fields: messages of HTTP/2 as lists of fields, and the same heads as text of HTTP/1.1, in both directions (ADR 16).
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


# --- what a field may be ----------------------------------------------------------------------------------------------------

cdef int check_value(bytes value) except -1:
    cdef const char* text = PyBytes_AS_STRING(value)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(value)
    if not has_only(_is_value, text, length):
        raise MalformedFieldsError("a control character in a value")
    if length and (is_blank(text[0]) or is_blank(text[length - 1])):
        raise MalformedFieldsError("a blank around a value")
    return 0


cdef int check_field(bytes name, bytes value) except -1:
    """Check a field that is no pseudo-header. Returns its kind, HEADER_*."""
    cdef const char* text = PyBytes_AS_STRING(name)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(name)
    cdef int kind
    if length == 0 or not has_only(_is_field_name, text, length):
        if length and text[0] == c":":
            raise MalformedFieldsError("a pseudo-header that is not allowed here")
        raise MalformedFieldsError("a malformed name")
    check_value(value)
    kind = known_kind(text, length)
    if is_connection_field(kind) or (kind == HEADER_TE and value.lower() != b"trailers"):
        raise MalformedFieldsError("a field about the connection")
    return kind


cdef inline bint is_connection_field(int kind) noexcept:
    """Whether it is about a connection of HTTP/1, of which HTTP/2 knows nothing (RFC 9113 section 8.2.2)."""
    return (
        kind == HEADER_CONNECTION or kind == HEADER_PROXY_CONNECTION or kind == HEADER_KEEP_ALIVE
        or kind == HEADER_TRANSFER_ENCODING or kind == HEADER_UPGRADE
    )


cdef int64_t length_of(bytes value) except -1:
    """The number that a Content-Length says, which is below 10^18."""
    cdef int64_t number = 0
    cdef Py_ssize_t i
    if not 0 < PyBytes_GET_SIZE(value) <= 18:
        raise MalformedFieldsError("a malformed content-length")
    for i in range(PyBytes_GET_SIZE(value)):
        if not is_digit(PyBytes_AS_STRING(value)[i]):
            raise MalformedFieldsError("a malformed content-length")
        number = number * 10 + (PyBytes_AS_STRING(value)[i] - 48)
    return number


cdef inline void put_text_field(bytes name, bytes value) noexcept:
    put_bytes(name)
    put_text(b": ")
    put_bytes(value)
    put_text(b"\r\n")


# --- fields -> text ----------------------------------------------------------------------------------------------------------

cdef bytes request_head_of(tuple fields, bint has_body):
    """The head of a request as text. `has_body`: its stream goes on. Raises MalformedFieldsError."""
    try:
        begin_message()
        put_request_head(fields, has_body)
        return take_message()
    except MalformedFieldsError:
        drop_message()
        raise


cdef int put_request_head(tuple fields, bint has_body) except -1:
    cdef object field
    cdef bytes name, value
    cdef bytes method = None
    cdef bytes scheme = None
    cdef bytes path = None
    cdef bytes authority = None
    cdef bytes host = None
    cdef bytes protocol = None
    cdef list cookies = None
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t i
    cdef int64_t length = -1
    cdef int kind
    for first in range(PyTuple_GET_SIZE(fields) + 1):
        if first == PyTuple_GET_SIZE(fields):
            break
        # A tuple of its own class where the value is a secret.
        field = fields[first]
        name = <bytes>PyTuple_GET_ITEM(field, 0)
        value = <bytes>PyTuple_GET_ITEM(field, 1)
        if PyBytes_GET_SIZE(name) == 0 or PyBytes_AS_STRING(name)[0] != c":":
            break
        if name == b":method" and method is None:
            method = value
        elif name == b":scheme" and scheme is None:
            scheme = value
        elif name == b":path" and path is None:
            path = value
        elif name == b":authority" and authority is None:
            authority = value
        elif name == b":protocol" and protocol is None:
            protocol = value
        else:
            raise MalformedFieldsError("a pseudo-header that is unknown or comes twice")
    # Host comes first in the text, wherever it stands here.
    for i in range(first, PyTuple_GET_SIZE(fields)):
        field = fields[i]
        if field[0] == b"host":
            if host is not None:
                raise MalformedFieldsError("Host twice")
            host = field[1]
    if protocol is None:
        put_request_line(method, scheme, path, authority)
    else:
        put_connect_line(method, scheme, path, protocol)
    put_text_field(b"Host", host_of(authority, host))
    for i in range(first, PyTuple_GET_SIZE(fields)):
        field = fields[i]
        name = <bytes>PyTuple_GET_ITEM(field, 0)
        value = <bytes>PyTuple_GET_ITEM(field, 1)
        kind = check_field(name, value)
        if kind == HEADER_HOST:
            continue
        if kind == HEADER_COOKIE:
            # It may come in crumbs, which compress better (RFC 9113 section 8.2.3).
            if cookies is None:
                cookies = []
            cookies.append(value)
            continue
        if kind == HEADER_CONTENT_LENGTH:
            if length >= 0:
                raise MalformedFieldsError("content-length twice")
            length = length_of(value)
        if protocol is not None and name == b"sec-websocket-key":
            # There is none in HTTP/2, and one of ours below.
            continue
        put_text_field(name, value)
    if cookies is not None:
        put_text_field(b"cookie", cookies[0] if len(cookies) == 1 else b"; ".join(cookies))
    if protocol is not None:
        if length >= 0:
            raise MalformedFieldsError("a content-length of a tunnel")
        put_text(b"Connection: Upgrade\r\nUpgrade: ")
        put_bytes(protocol)
        put_text(b"\r\nSec-WebSocket-Key: ")
        put_bytes(b2a_base64(PyBytes_FromStringAndSize(<const char*>random_bytes(16), 16), newline=False))
        put_text(b"\r\n\r\n")
        return 0
    if not has_body and length > 0:
        raise MalformedFieldsError("a content-length that is not the sum of DATA")
    if has_body and length < 0:
        put_text(b"Transfer-Encoding: chunked\r\n")
    put_text(b"\r\n")
    return 0


cdef int put_connect_line(bytes method, bytes scheme, bytes path, bytes protocol) except -1:
    """Extended CONNECT (RFC 8441 section 4): the request by which HTTP/1.1 asks for the same."""
    if method != b"CONNECT" or protocol is None or protocol.lower() != b"websocket":
        raise MalformedFieldsError("a protocol that is not WebSocket, or without CONNECT")
    return put_request_line(b"GET", scheme, path, None)


cdef int put_request_line(bytes method, bytes scheme, bytes path, bytes authority) except -1:
    cdef const char* target
    cdef bint is_connect = method == b"CONNECT"
    if method is None or PyBytes_GET_SIZE(method) == 0 or not has_only(
        _is_token, PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method)
    ):
        raise MalformedFieldsError("no method")
    if is_connect:
        # RFC 9113 section 8.5.
        if scheme is not None or path is not None or authority is None:
            raise MalformedFieldsError("a CONNECT with a path or without an authority")
        path = authority
    else:
        if scheme != b"https" and scheme != b"http":
            raise MalformedFieldsError("no scheme of HTTP")
        if path is None or PyBytes_GET_SIZE(path) == 0:
            raise MalformedFieldsError("no path")
        target = PyBytes_AS_STRING(path)
        if target[0] != c"/" and not (path == b"*" and method == b"OPTIONS"):
            raise MalformedFieldsError("a path that does not begin with a slash")
    if not has_only(_is_target, PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path)):
        raise MalformedFieldsError("a blank or a control character in the path")
    put_bytes(method)
    put_text(b" ")
    put_bytes(path)
    put_text(b" HTTP/1.1\r\n")
    return 0


cdef bytes host_of(bytes authority, bytes host):
    """The one host that both name, or that one of them does."""
    if authority is not None and host is not None and authority.lower() != host.lower():
        raise MalformedFieldsError("Host and :authority that differ")
    if authority is None:
        authority = host
    if authority is None or PyBytes_GET_SIZE(authority) == 0:
        raise MalformedFieldsError("no host")
    # Not even `@`: who is who is no part of it (RFC 9113 section 8.3.1).
    if not has_only(_is_host, PyBytes_AS_STRING(authority), PyBytes_GET_SIZE(authority)):
        raise MalformedFieldsError("a malformed host")
    return authority


cdef bytes response_head_of(tuple fields, bint has_body):
    """The head of a response, interim or final, as text. `has_body`: DATA may follow. Raises MalformedFieldsError."""
    try:
        begin_message()
        put_response_head(fields, has_body)
        return take_message()
    except MalformedFieldsError:
        drop_message()
        raise


cdef int put_response_head(tuple fields, bint has_body) except -1:
    cdef object field
    cdef bytes name, value
    cdef bytes status
    cdef Py_ssize_t i
    cdef int64_t length = -1
    cdef int kind
    if PyTuple_GET_SIZE(fields) == 0 or fields[0][0] != b":status":
        raise MalformedFieldsError("no status")
    status = fields[0][1]
    # 101 is for HTTP/1 (RFC 9113 section 8.6).
    if PyBytes_GET_SIZE(status) != 3 or not status.isdigit() or not b"100" <= status <= b"999" or status == b"101":
        raise MalformedFieldsError("a malformed status")
    put_status_line(1, int(status))
    for i in range(1, PyTuple_GET_SIZE(fields)):
        field = fields[i]
        name = <bytes>PyTuple_GET_ITEM(field, 0)
        value = <bytes>PyTuple_GET_ITEM(field, 1)
        kind = check_field(name, value)
        if kind == HEADER_CONTENT_LENGTH:
            if length >= 0:
                raise MalformedFieldsError("content-length twice")
            length = length_of(value)
        put_text_field(name, value)
    if has_body and length < 0:
        put_text(b"Transfer-Encoding: chunked\r\n")
    put_text(b"\r\n")
    return 0


cdef bytes trailer_lines_of(tuple fields):
    """A trailer section as lines, in the form in which `last_chunk` takes them. Raises MalformedFieldsError."""
    cdef object field
    cdef list lines = []
    for field in fields:
        check_field(field[0], field[1])
        lines.append(b"%s: %s\r\n" % (field[0], field[1]))
    return b"".join(lines)


# --- text -> fields ----------------------------------------------------------------------------------------------------------
#
# The text is the router's own, rendered a moment ago: whole lines with CRLF behind them, and an empty one at the end.

cdef list response_fields_of(const char* text, Py_ssize_t size, HeadNotes* notes):
    """The fields of a response head; what it says of its body goes into `notes`."""
    cdef list fields = [(b":status", text[9:12])]
    add_fields(fields, text, size, False, notes)
    return fields


cdef list request_fields_of(const char* text, Py_ssize_t size, bint is_secure):
    """The fields of a request head; `is_secure`: it goes over TLS."""
    cdef const char* end = <const char*>memchr(text, c"\r", size)
    cdef const char* target = <const char*>memchr(text, c" ", end - text) + 1
    # Behind the target: ` HTTP/1.1`.
    cdef bytes path = target[: end - 9 - target]
    cdef list fields = [
        (b":method", text[: target - 1 - text]), (b":scheme", b"https" if is_secure else b"http"), None, None,
    ]
    cdef bytes authority
    cdef HeadNotes notes
    cdef Py_ssize_t at
    if path[:1] != b"/" and path != b"*":
        # Absolute form: the authority is what Host says.
        path = path.partition(b"://")[2]
        for at in range(PyBytes_GET_SIZE(path)):
            if PyBytes_AS_STRING(path)[at] in (c"/", c"?"):
                path = path[at:] if path[at] == c"/" else b"/" + path[at:]
                break
        else:
            path = b"/"
    authority = add_fields(fields, text, size, True, &notes)
    fields[2] = (b":authority", authority)
    fields[3] = (b":path", path)
    return fields


cdef list trailer_fields_of(const char* text, Py_ssize_t size):
    """The fields of the last chunk of a body: `0`, lines, and an empty one."""
    cdef HeadNotes notes
    cdef list fields = []
    add_fields(fields, text, size, False, &notes)
    return fields


cdef bytes add_fields(list fields, const char* text, Py_ssize_t size, bint takes_host, HeadNotes* notes):
    """Append the lines behind the first one, less those about the connection. Returns Host, if it `takes_host` apart."""
    cdef const char* end = text + size
    cdef const char* at = <const char*>memchr(text, c"\n", size) + 1
    cdef const char* colon
    cdef const char* value
    cdef const char* newline
    cdef bytes name
    cdef bytes host = b""
    cdef Py_ssize_t length, i
    cdef int kind
    notes.length = -1
    notes.is_chunked = False
    while at < end and at[0] != c"\r":
        newline = <const char*>memchr(at, c"\n", end - at)
        colon = <const char*>memchr(at, c":", newline - at)
        length = colon - at
        kind = known_kind(at, length)
        value = colon + 1
        if value[0] == c" ":
            value += 1
        if takes_host and kind == HEADER_HOST:
            host = value[: newline - 1 - value]
        elif kind == HEADER_TRANSFER_ENCODING:
            notes.is_chunked = True
        elif not is_connection_field(kind):
            if kind == HEADER_CONTENT_LENGTH:
                notes.length = length_of(value[: newline - 1 - value])
            name = PyBytes_FromStringAndSize(NULL, length)
            for i in range(length):
                PyBytes_AS_STRING(name)[i] = <char>_lower[<unsigned char>at[i]]
            fields.append((name, value[: newline - 1 - value]))
        at = newline + 1
    return host


# --- the same for Python ------------------------------------------------------------------------------------------------------

def http2_request_head(tuple fields not None, bint has_body):
    """Translate the fields of a request into a head of HTTP/1.1; `has_body`: its stream goes on. Raises MalformedFieldsError."""
    return request_head_of(fields, has_body)


def http2_response_head(tuple fields not None, bint has_body):
    """Translate the fields of a response, interim or final, in the same way."""
    return response_head_of(fields, has_body)


def http2_trailer_lines(tuple fields not None):
    """Translate the fields of a trailer section into lines. Raises MalformedFieldsError."""
    return trailer_lines_of(fields)


def http2_request_fields(bytes head not None, bint is_secure):
    """Translate a request head that the router has rendered; `is_secure`: it goes over TLS."""
    return request_fields_of(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), is_secure)


def http2_response_fields(bytes head not None):
    """Translate a response head that the router has rendered."""
    cdef HeadNotes notes
    return response_fields_of(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), &notes)
