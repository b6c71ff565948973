# Dates: times of the day as log lines and the Date header have them, rendered once a second.

# The text of the last second, once as local time and once as UTC.
cdef int64_t _text_second[2]
cdef char _second_text[2][20]
_text_second[0] = _text_second[1] = -1

cdef char* put_local_time(char* out, int64_t at_ns) noexcept:
    """`2025-04-01T10:00:00.123456789Z`: process-local time with a literal Z (spec 6.2)."""
    return put_time(out, at_ns, False)


cdef char* put_utc_time(char* out, int64_t at_ns) noexcept:
    """The same in UTC (RFC 3339)."""
    return put_time(out, at_ns, True)


cdef char* put_time(char* out, int64_t at_ns, bint is_utc) noexcept:
    cdef time_t second = at_ns // 1000000000
    cdef tm parts
    cdef char* text
    if second != _text_second[is_utc]:
        if is_utc:
            gmtime_r(&second, &parts)
        else:
            localtime_r(&second, &parts)
        text = put_padded(_second_text[is_utc], parts.tm_year + 1900, 4)
        text = put_padded(put_text(text, b"-"), parts.tm_mon + 1, 2)
        text = put_padded(put_text(text, b"-"), parts.tm_mday, 2)
        text = put_padded(put_text(text, b"T"), parts.tm_hour, 2)
        text = put_padded(put_text(text, b":"), parts.tm_min, 2)
        text = put_padded(put_text(text, b":"), parts.tm_sec, 2)
        put_text(text, b".")
        _text_second[is_utc] = second
    out = put(out, _second_text[is_utc], 20)
    out = put_padded(out, at_ns % 1000000000, 9)
    return put_text(out, b"Z")


cdef int64_t _date_second = -1
cdef bytes _date_line = b""

cdef bytes date_line():
    """`Date: Sun, 06 Nov 1994 08:49:37 GMT` with its line end, made once a second."""
    global _date_second, _date_line
    cdef int64_t second = wall_ns() // 1000000000
    if second != _date_second:
        _date_line = b"Date: " + formatdate(second, usegmt=True).encode("ascii") + b"\r\n"
        _date_second = second
    return _date_line
