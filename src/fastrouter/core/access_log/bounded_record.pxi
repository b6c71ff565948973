# Bounded record: what is cut so that a line fits into a datagram of Loggregator (spec 6.3).

cdef const char* BOUNDED_MARK = b"-TOO-LONG-TO-LOG--TRUNCATED"


cdef int put_bounded(AccessLog log, const char* base, Slice text, const char* name) except -1:
    """A quoted header, whose long values are cut if the line is to be short. `name`: what the mark calls it."""
    if not log.is_bounded or text.length <= BOUNDED_SHORT:
        return put_field(log.is_json, base, text)
    put_byte(c"\"")
    put_cut(base + text.start, text.length, BOUNDED_SHORT, name)
    put_byte(c"\"")
    return 0


cdef int put_cut(const char* text, Py_ssize_t length, Py_ssize_t limit, const char* name) except -1:
    """What stays of a value that has more than `limit` bytes, and the mark: it is halved until both fit, as in Gorouter."""
    cdef Py_ssize_t mark = 3 + strlen(name) + strlen(BOUNDED_MARK)
    cdef Py_ssize_t size = length
    cdef Py_ssize_t kept = length
    while size > limit:
        kept = size // 2
        size = kept + mark
    put_escaped(text, kept)
    put_text(CUT)
    put_text(name)
    put_text(BOUNDED_MARK)
    return 0
