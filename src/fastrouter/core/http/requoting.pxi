# Requoting: paths and queries as Go encodes them again after parsing (spec 4.4), in one pass over their bytes.

cdef enum:
    QUERY_PAIRS_MAX = 10000     # Go reads no more; a query of more is passed on as it is

cdef struct Pair:
    const char* name            # unescaped
    Py_ssize_t name_length
    const char* value
    Py_ssize_t value_length

cdef unsigned char _is_path_byte[256]       # stands in a path as it is
cdef unsigned char _is_query_byte[256]

cdef void _make_quoting_tables():
    cdef int i
    for i in range(256):
        _is_query_byte[i] = 48 <= i <= 57 or 65 <= i <= 90 or 97 <= i <= 122 or (i < 128 and chr(i) in "_.-~")
        _is_path_byte[i] = _is_query_byte[i] or (i < 128 and chr(i) in "/$&+:=@")


_make_quoting_tables()


cdef char* put_unescaped(char* out, const char* text, Py_ssize_t length, bint plus_is_space) noexcept nogil:
    """Append `text` without its escapes; a percent sign that begins none stays."""
    cdef Py_ssize_t at = 0
    cdef int high, low
    while at < length:
        if text[at] == c"%" and length - at >= 3:
            high = hex_digit(text[at + 1])
            low = hex_digit(text[at + 2])
            if high >= 0 and low >= 0:
                out[0] = <char>(high * 16 + low)
                out += 1
                at += 3
                continue
        out[0] = c" " if plus_is_space and text[at] == c"+" else text[at]
        out += 1
        at += 1
    return out


cdef char* put_requoted(char* out, const char* text, Py_ssize_t length, const unsigned char* is_plain) noexcept nogil:
    """Append unescaped `text` with escapes for special bytes: up to three times its size. In a query a space becomes +."""
    cdef Py_ssize_t i
    cdef unsigned char byte
    cdef const char* digits = b"0123456789ABCDEF"
    for i in range(length):
        byte = <unsigned char>text[i]
        if is_plain[byte]:
            out[0] = <char>byte
            out += 1
        elif byte == 32 and is_plain == _is_query_byte:
            out[0] = c"+"
            out += 1
        else:
            out[0] = c"%"
            out[1] = digits[byte >> 4]
            out[2] = digits[byte & 15]
            out += 3
    return out


cdef bytes requoted_path(bytes path):
    cdef bytes plain = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(path))
    cdef char* start = PyBytes_AS_STRING(plain)
    cdef char* end = put_unescaped(start, PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path), False)
    cdef bytes quoted = PyBytes_FromStringAndSize(NULL, 3 * (end - start))
    end = put_requoted(PyBytes_AS_STRING(quoted), start, end - start, _is_path_byte)
    return quoted[: end - PyBytes_AS_STRING(quoted)]


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
    cdef Py_ssize_t size = PyBytes_GET_SIZE(query)
    cdef const char* text = PyBytes_AS_STRING(query)
    cdef const char* end = text + size
    cdef const char* stop
    cdef const char* equals
    cdef Py_ssize_t count = query.count(b"&") + 1
    cdef bytes plain, quoted
    cdef char* into
    cdef char* out
    cdef Pair* pairs
    cdef Pair* pair
    cdef Py_ssize_t i
    if count > QUERY_PAIRS_MAX:
        return b"?" + query
    pairs = <Pair*>malloc(count * sizeof(Pair))
    if pairs == NULL:
        raise MemoryError()
    try:
        # A byte between two pairs, so that no two begin at the same place.
        plain = PyBytes_FromStringAndSize(NULL, size + count)
        into = PyBytes_AS_STRING(plain)
        count = 0
        while text < end:
            stop = <const char*>memchr(text, c"&", end - text)
            if stop == NULL:
                stop = end
            if stop > text and memchr(text, c";", stop - text) == NULL and not has_bad_escape(text, stop - text):
                equals = <const char*>memchr(text, c"=", stop - text)
                pair = &pairs[count]
                pair.name = into
                into = put_unescaped(into, text, (stop if equals == NULL else equals) - text, True)
                pair.name_length = into - pair.name
                pair.value = into
                if equals != NULL:
                    into = put_unescaped(into, equals + 1, stop - equals - 1, True)
                pair.value_length = into - pair.value
                into += 1
                count += 1
            text = stop + 1
        qsort(pairs, count, sizeof(Pair), compare_pairs)
        quoted = PyBytes_FromStringAndSize(NULL, 3 * size + 2 * count + 1)
        out = PyBytes_AS_STRING(quoted)
        for i in range(count):
            out = put_text(out, b"&" if i else b"?")
            out = put_requoted(out, pairs[i].name, pairs[i].name_length, _is_query_byte)
            out = put_text(out, b"=")
            out = put_requoted(out, pairs[i].value, pairs[i].value_length, _is_query_byte)
    finally:
        free(pairs)
    return quoted[: out - PyBytes_AS_STRING(quoted)]
