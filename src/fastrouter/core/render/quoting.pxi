# Quoting: arbitrary bytes as text that stays in one line and one field, as Go quotes strings (strconv.Quote) and as JSON does.

cdef inline unsigned char needs_escape(char byte) noexcept nogil:
    """Whether this is no printable ASCII, or a quote or backslash."""
    return (<unsigned char>(<unsigned char>byte - 32) > 94) | (byte == c"\"") | (byte == c"\\")


cdef inline bint is_plain_text(const char* text, Py_ssize_t length) noexcept nogil:
    """Whether no byte needs an escape: 16 of them at a time, which the C compiler makes one vector, the last overlapping."""
    cdef unsigned char odd[16]
    cdef unsigned char found = 0
    cdef Py_ssize_t at = 0
    cdef int i
    if length < 16:
        for at in range(length):
            found |= needs_escape(text[at])
        return found == 0
    for i in range(16):
        odd[i] = needs_escape(text[i])
    while at < length - 16:
        at = min(at + 16, length - 16)
        for i in range(16):
            odd[i] |= needs_escape(text[at + i])
    for i in range(16):
        found |= odd[i]
    return found == 0


# Bytes of one field that a log line shows. Who may send heads of a megabyte must not write logs of gigabytes with them.
cdef Py_ssize_t LOGGED_MAX = 65536
# Stands where a field was cut.
cdef const char* CUT = b"..."


cdef char* put_escaped(char* out, const char* text, Py_ssize_t length) except NULL:
    """Append `text` as it stands between the quotes of a Go string literal (strconv.Quote), cut at LOGGED_MAX bytes."""
    if length > LOGGED_MAX:
        return put_text(put_escaped(out, text, LOGGED_MAX), CUT)
    if not is_plain_text(text, length):
        return put_bytes(out, _go_escaped(text[:length]))
    return put(out, text, length)


cdef inline char* put_quoted(char* out, const char* base, Slice text) except NULL:
    """Append a quoted field; an empty one is a dash."""
    if text.length == 0:
        return put_text(out, b"\"-\"")
    out[0] = c"\""
    out = put_escaped(out + 1, base + text.start, text.length)
    out[0] = c"\""
    return out + 1


cdef bytes _go_escaped(bytes text):
    """`text` as it stands between the quotes of a Go string literal; at most four times as long."""
    # surrogateescape leaves every byte that is no UTF-8 as a lone surrogate U+DC80..U+DCFF.
    cdef str characters = text.decode("utf-8", "surrogateescape")
    cdef bytes escaped = PyBytes_FromStringAndSize(NULL, 4 * PyBytes_GET_SIZE(text))
    cdef char* start = PyBytes_AS_STRING(escaped)
    cdef char* out = start
    cdef int kind = PyUnicode_KIND(characters)
    cdef void* data = PyUnicode_DATA(characters)
    cdef Py_ssize_t i
    for i in range(PyUnicode_GET_LENGTH(characters)):
        out = put_go_character(out, <uint32_t>PyUnicode_READ(kind, data, i))
    return escaped[: out - start]


cdef inline char* put_go_character(char* out, uint32_t character) noexcept:
    cdef const char* digits = b"0123456789abcdef"
    cdef const char* letters = b"abtnvfr"
    cdef int width = 0
    if character == 34 or character == 92:
        out[0] = c"\\"
        out[1] = <char>character
        return out + 2
    if 7 <= character <= 13:
        out[0] = c"\\"
        out[1] = letters[character - 7]
        return out + 2
    if character < 127:
        if character >= 32:
            out[0] = <char>character
            return out + 1
        out = put_text(out, b"\\x")
        width = 2
    elif character == 127 or 0xDC80 <= character <= 0xDCFF:
        character &= 0xFF
        out = put_text(out, b"\\x")
        width = 2
    elif Py_UNICODE_ISPRINTABLE(character):
        return put_utf8(out, character)
    elif character < 0x10000:
        out = put_text(out, b"\\u")
        width = 4
    else:
        out = put_text(out, b"\\U")
        width = 8
    while width:
        width -= 1
        out[0] = digits[character >> (4 * width) & 15]
        out += 1
    return out


cdef inline char* put_utf8(char* out, uint32_t character) noexcept:
    """Append a character beyond ASCII."""
    if character < 0x800:
        out[0] = <char>(0xC0 | character >> 6)
        out[1] = <char>(0x80 | character & 63)
        return out + 2
    if character < 0x10000:
        out[0] = <char>(0xE0 | character >> 12)
        out[1] = <char>(0x80 | character >> 6 & 63)
        out[2] = <char>(0x80 | character & 63)
        return out + 3
    out[0] = <char>(0xF0 | character >> 18)
    out[1] = <char>(0x80 | character >> 12 & 63)
    out[2] = <char>(0x80 | character >> 6 & 63)
    out[3] = <char>(0x80 | character & 63)
    return out + 4


cdef str go_quoted(bytes text):
    """`text` (cut at 100 bytes) as Go's %q prints it."""
    return '"' + _go_escaped(text[:100]).decode("utf-8") + '"'


cdef char* put_json_text(char* out, const char* text, Py_ssize_t length) except NULL:
    """Append a JSON string, cut at LOGGED_MAX bytes. Bytes that are no UTF-8 become U+FFFD; nothing grows to more than six times
    its size.
    """
    cdef bint is_cut = length > LOGGED_MAX
    if is_cut:
        length = LOGGED_MAX
    if not is_plain_text(text, length):
        shown = text[:length].decode("utf-8", "replace")
        return put_bytes(out, encode_basestring(shown + "..." if is_cut else shown).encode("utf-8"))
    out[0] = c"\""
    out = put(out + 1, text, length)
    if is_cut:
        out = put_text(out, CUT)
    out[0] = c"\""
    return out + 1
