# Dates: times of the day as log lines and the Date header have them, rendered once a second.

# The text of the last second, once as local time and once as UTC.
cdef int64_t _text_second[2]
cdef char _second_text[2][20]
_text_second[0] = _text_second[1] = -1

cdef int put_local_time(int64_t at_ns) except -1:
    """`2025-04-01T10:00:00.123456789Z`: process-local time with a literal Z (spec 6.2)."""
    return put_time(at_ns, False)


cdef int put_utc_time(int64_t at_ns) except -1:
    """The same in UTC (RFC 3339)."""
    return put_time(at_ns, True)


cdef int put_time(int64_t at_ns, bint is_utc) except -1:
    cdef time_t second = at_ns // 1000000000
    cdef tm parts
    cdef bytes text
    if second != _text_second[is_utc]:
        if is_utc:
            gmtime_r(&second, &parts)
        else:
            localtime_r(&second, &parts)
        text = b"%04d-%02d-%02dT%02d:%02d:%02d." % (
            parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec
        )
        memcpy(_second_text[is_utc], PyBytes_AS_STRING(text), 20)
        _text_second[is_utc] = second
    put(_second_text[is_utc], 20)
    put_padded(at_ns % 1000000000, 9)
    put_byte(c"Z")
    return 0


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
