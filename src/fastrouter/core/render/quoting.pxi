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


cdef int put_escaped(const char* text, Py_ssize_t length) except -1:
    """Append `text` as it stands between the quotes of a Go string literal (strconv.Quote), cut at LOGGED_MAX bytes."""
    if length > LOGGED_MAX:
        put_escaped(text, LOGGED_MAX)
        put_text(CUT)
    elif is_plain_text(text, length):
        put(text, length)
    else:
        put_go_escaped(text[:length])
    return 0


cdef int put_quoted(const char* base, Slice text) except -1:
    """Append a quoted field; an empty one is a dash."""
    if text.length == 0:
        put_text(b"\"-\"")
        return 0
    if text.length <= LOGGED_MAX and is_plain_text(base + text.start, text.length):
        put_between(b"\"", base + text.start, text.length, b"\"")
        return 0
    put_byte(c"\"")
    put_escaped(base + text.start, text.length)
    put_byte(c"\"")
    return 0


cdef int put_go_escaped(bytes text) except -1:
    """Append `text` as it stands between the quotes of a Go string literal."""
    # surrogateescape leaves every byte that is no UTF-8 as a lone surrogate U+DC80..U+DCFF.
    cdef str characters = text.decode("utf-8", "surrogateescape")
    cdef int kind = PyUnicode_KIND(characters)
    cdef void* data = PyUnicode_DATA(characters)
    cdef Py_ssize_t i
    for i in range(PyUnicode_GET_LENGTH(characters)):
        put_go_character(<uint32_t>PyUnicode_READ(kind, data, i))
    return 0


cdef bytes go_escaped(bytes text):
    """The same as an object of its own."""
    begin_message()
    put_go_escaped(text)
    return take_message()


cdef inline void put_go_character(uint32_t character) noexcept:
    if character == 34 or character == 92:
        put_byte(c"\\")
        put_byte(<char>character)
    elif 7 <= character <= 13:
        put_byte(c"\\")
        put_byte((<const char*>b"abtnvfr")[character - 7])
    elif 32 <= character < 127:
        put_byte(<char>character)
    elif character <= 127 or 0xDC80 <= character <= 0xDCFF:
        put_text(b"\\x")
        put_hex_padded(character & 0xFF, 2)
    elif Py_UNICODE_ISPRINTABLE(character):
        put_utf8(character)
    elif character < 0x10000:
        put_text(b"\\u")
        put_hex_padded(character, 4)
    else:
        put_text(b"\\U")
        put_hex_padded(character, 8)


cdef inline void put_hex_padded(uint32_t number, int width) noexcept:
    """Append `number` in exactly `width` hexadecimal digits, zeros in front."""
    while width:
        width -= 1
        put_byte((<const char*>b"0123456789abcdef")[number >> (4 * width) & 15])


cdef inline void put_utf8(uint32_t character) noexcept:
    """Append a character beyond ASCII."""
    if character < 0x800:
        put_byte(<char>(0xC0 | character >> 6))
    elif character < 0x10000:
        put_byte(<char>(0xE0 | character >> 12))
        put_byte(<char>(0x80 | character >> 6 & 63))
    else:
        put_byte(<char>(0xF0 | character >> 18))
        put_byte(<char>(0x80 | character >> 12 & 63))
        put_byte(<char>(0x80 | character >> 6 & 63))
    put_byte(<char>(0x80 | character & 63))


cdef str go_quoted(bytes text):
    """`text` (cut at 100 bytes) as Go's %q prints it."""
    return '"' + go_escaped(text[:100]).decode("utf-8") + '"'


cdef int put_json_text(const char* text, Py_ssize_t length) except -1:
    """Append a JSON string, cut at LOGGED_MAX bytes. Bytes that are no UTF-8 become U+FFFD."""
    cdef bint is_cut = length > LOGGED_MAX
    if is_cut:
        length = LOGGED_MAX
    if not is_plain_text(text, length):
        shown = text[:length].decode("utf-8", "replace")
        put_bytes(encode_basestring(shown + "..." if is_cut else shown).encode("utf-8"))
        return 0
    put_byte(c"\"")
    put(text, length)
    if is_cut:
        put_text(CUT)
    put_byte(c"\"")
    return 0
