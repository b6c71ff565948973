# Requoting: paths and queries as Go encodes them again after parsing (spec 4.4), in one pass over their bytes.

cdef enum:
    QUERY_PAIRS_MAX = 10000     # Go reads no more; a query of more is passed on as it is

cdef struct Pair:
    char* name                  # unescaped
    Py_ssize_t name_length
    char* value
    Py_ssize_t value_length

cdef unsigned char _is_path_byte[256]       # stands in a path as it is
cdef unsigned char _is_query_byte[256]

cdef void _make_quoting_tables():
    cdef int i
    for i in range(256):
        _is_query_byte[i] = 48 <= i <= 57 or 65 <= i <= 90 or 97 <= i <= 122 or (i < 128 and chr(i) in "_.-~")
        _is_path_byte[i] = _is_query_byte[i] or (i < 128 and chr(i) in "/$&+:=@")


_make_quoting_tables()


cdef Py_ssize_t unescape(char* text, Py_ssize_t length, bint plus_is_space) noexcept nogil:
    """Take the escapes out of `text`, in place; a percent sign that begins none stays. Returns its new length."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size = 0
    cdef int high, low
    while at < length:
        text[size] = c" " if plus_is_space and text[at] == c"+" else text[at]
        if text[at] == c"%" and length - at >= 3:
            high = hex_digit(text[at + 1])
            low = hex_digit(text[at + 2])
            if high >= 0 and low >= 0:
                text[size] = <char>(high * 16 + low)
                at += 2
        size += 1
        at += 1
    return size


cdef void put_requoted(const char* text, Py_ssize_t length, const unsigned char* is_plain) noexcept:
    """Append unescaped `text` with escapes for special bytes. In a query a space becomes +."""
    cdef Py_ssize_t i
    cdef unsigned char byte
    cdef const char* digits = b"0123456789ABCDEF"
    for i in range(length):
        byte = <unsigned char>text[i]
        if is_plain[byte]:
            put_byte(<char>byte)
        elif byte == 32 and is_plain == _is_query_byte:
            put_byte(c"+")
        else:
            put_byte(c"%")
            put_byte(digits[byte >> 4])
            put_byte(digits[byte & 15])


cdef bytes requoted_path(bytes path):
    cdef bytearray plain = bytearray(path)
    cdef char* text = PyByteArray_AS_STRING(plain)
    begin_message()
    put_requoted(text, unescape(text, PyByteArray_GET_SIZE(plain), False), _is_path_byte)
    return take_message()


cdef int compare_pairs(const void* left, const void* right) noexcept nogil:
    """Compare two pairs: by name, and equal names by their place."""
    cdef const Pair* a = <const Pair*>left
    cdef const Pair* b = <const Pair*>right
    cdef int order = memcmp(a.name, b.name, min(a.name_length, b.name_length))
    if order:
        return order
    if a.name_length != b.name_length:
        return -1 if a.name_length < b.name_length else 1
    return -1 if a.name < b.name else 1


cdef bytes sorted_query(bytes query):
    """A query, with its question mark, as Go encodes it after parsing: pairs sorted by name, without those it cannot parse."""
    cdef bytearray plain = bytearray(query)
    cdef char* text = PyByteArray_AS_STRING(plain)
    cdef char* end = text + PyByteArray_GET_SIZE(plain)
    cdef char* stop
    cdef char* equals
    cdef Py_ssize_t count = query.count(b"&") + 1
    cdef Pair* pairs
    cdef Pair* pair
    cdef Py_ssize_t i
    if count > QUERY_PAIRS_MAX:
        return b"?" + query
    pairs = <Pair*>malloc(count * sizeof(Pair))
    if pairs == NULL:
        raise MemoryError()
    try:
        count = 0
        while text < end:
            stop = <char*>memchr(text, c"&", end - text)
            if stop == NULL:
                stop = end
            if stop > text and memchr(text, c";", stop - text) == NULL and not has_bad_escape(text, stop - text):
                equals = <char*>memchr(text, c"=", stop - text)
                pair = &pairs[count]
                pair.name = text
                pair.name_length = unescape(text, (stop if equals == NULL else equals) - text, True)
                pair.value = stop if equals == NULL else equals + 1
                pair.value_length = unescape(pair.value, stop - pair.value, True)
                count += 1
            text = stop + 1
        qsort(pairs, count, sizeof(Pair), compare_pairs)
        begin_message()
        for i in range(count):
            put_byte(c"&" if i else c"?")
            put_requoted(pairs[i].name, pairs[i].name_length, _is_query_byte)
            put_byte(c"=")
            put_requoted(pairs[i].value, pairs[i].value_length, _is_query_byte)
    finally:
        free(pairs)
    return take_message()
