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


cdef char* put_escaped(char* out, const char* text, Py_ssize_t length) except NULL:
    """Append `text` as it stands between the quotes of a Go string literal (strconv.Quote)."""
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


cdef dict _GO_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\",
}

cdef bytes _go_escaped(bytes text):
    cdef list parts = []
    cdef int code
    # surrogateescape leaves every byte that is no UTF-8 as a lone surrogate U+DC80..U+DCFF.
    for character in text.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if character in _GO_ESCAPES:
            parts.append(_GO_ESCAPES[character])
        elif 0xDC80 <= code <= 0xDCFF:
            parts.append("\\x%02x" % (code - 0xDC00))
        elif character.isprintable():
            parts.append(character)
        elif code < 32 or code == 127:
            parts.append("\\x%02x" % code)
        elif code < 0x10000:
            parts.append("\\u%04x" % code)
        else:
            parts.append("\\U%08x" % code)
    return "".join(parts).encode("utf-8")


cdef str go_quoted(bytes text):
    """`text` (cut at 100 bytes) as Go's %q prints it."""
    return '"' + _go_escaped(text[:100]).decode("utf-8") + '"'


cdef char* put_json_text(char* out, const char* text, Py_ssize_t length) except NULL:
    """Append a JSON string. Bytes that are no UTF-8 become U+FFFD; nothing grows to more than six times its size."""
    if not is_plain_text(text, length):
        return put_bytes(out, encode_basestring(text[:length].decode("utf-8", "replace")).encode("utf-8"))
    out[0] = c"\""
    out = put(out + 1, text, length)
    out[0] = c"\""
    return out + 1
