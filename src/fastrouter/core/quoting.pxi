# Quoting: arbitrary bytes as text that stays in one line and one field, as Go quotes strings (strconv.Quote) and as JSON does.

cdef char* put_escaped(char* out, const char* text, Py_ssize_t length) except NULL:
    """Append `text` as it stands between the quotes of a Go string literal (strconv.Quote)."""
    cdef Py_ssize_t i
    cdef unsigned char byte
    for i in range(length):
        byte = <unsigned char>text[i]
        if byte < 32 or byte >= 127 or byte == c"\"" or byte == c"\\":
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
    cdef Py_ssize_t i
    cdef unsigned char byte
    for i in range(length):
        byte = <unsigned char>text[i]
        if byte < 32 or byte >= 127 or byte == c"\"" or byte == c"\\":
            return put_bytes(out, encode_basestring(text[:length].decode("utf-8", "replace")).encode("utf-8"))
    out[0] = c"\""
    out = put(out + 1, text, length)
    out[0] = c"\""
    return out + 1
