# Stream checks: what is left of the request checks for a stream, and how it is refused (spec 4.0).
#
# Fields that are no request have not come so far (`request_head_of`), and nothing of a stream can be about its connection.

cdef bint check_stream(HTTP2ClientSide side, bytes raw, Head head) except -1:
    """Door 2. False: the request has its response."""
    cdef Slice host = head.value_of(HEADER_HOST)
    if PyBytes_GET_SIZE(raw) > side.connection.plane.settings.max_received_head:
        return refuse_stream(side, raw, REFUSAL_HEADER_TOO_LARGE, 431, b"")
    if PyBytes_GET_SIZE(raw) > LARGE_HEAD:
        side.large_head = side.connection.plane.large_heads.complete(side.connection, PyBytes_GET_SIZE(raw))
        if side.large_head is None:
            return refuse_stream(side, raw, REFUSAL_HEADER_MEMORY, 431, b"")
    if is_word(head.base, head.method, b"CONNECT") or head.has_broken_escape():
        return refuse_stream(side, raw, REFUSAL_MALFORMED, 400, b"")
    if not has_right_port(head.base + host.start, host.length):
        return refuse_stream(side, raw, REFUSAL_BAD_HOST, 400, b"malformed Host header")
    if head.value_of(HEADER_EXPECT).length and not head.value_is(HEADER_EXPECT, b"100-continue"):
        note_refusal(side.connection, raw, REFUSAL_EXPECTATION, 417, 0)
        side.write(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n" + date_line() + b"\r\n")
        return False
    if head.target.length == 1 and head.base[head.target.start] == c"*":
        # For the server itself.
        side.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date_line() + b"\r\n")
        return False
    return True


cdef bint refuse_stream(HTTP2ClientSide side, bytes raw, int refusal, int status, bytes explanation) except -1:
    """Refuse the request `raw` as `refuse` does, and nothing but this request. Always False."""
    cdef bytes text = refusal_text(status, explanation)
    note_refusal(side.connection, raw, refusal, status, PyBytes_GET_SIZE(text))
    side.write(refusal_message(text, text))
    return False
