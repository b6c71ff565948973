# Request checks: what Gorouter's HTTP server checks before any handler runs, and how it refuses (spec 4.0).

cdef bint check_request(ClientConnection client, bytes raw, Head head) except -1:
    """Door 2: everything that is checked before any handler runs. False: the request was refused."""
    cdef MessageValidator validator
    cdef int framing = FRAMING_NONE
    cdef int64_t length
    cdef Slice host
    cdef Verdict verdict = head.slice_request_line()
    if verdict != VERDICT_OK:
        return refuse(client, raw, REFUSAL_MALFORMED, 400, b"")
    if head.major != 1:
        if head.major == 2 and head.method.length == 3 and memcmp(head.base, b"PRI", 3) == 0:
            # The preface of HTTP/2, which this port does not speak, names no host.
            return refuse(client, raw, REFUSAL_BAD_VERSION, 400, b"Request had empty Host header")
        return refuse(client, raw, REFUSAL_BAD_VERSION, 505, b"unsupported protocol version")
    if head.has(HEADER_TRANSFER_ENCODING):
        if head.minor == 0:
            # Framing HTTP/1.0 does not have: whoever sent it and whoever reads it may disagree (RFC 9112 section 6.1).
            return refuse(client, raw, REFUSAL_TRANSFER_ENCODING, 400, b"")
        if head.seen[HEADER_TRANSFER_ENCODING] > 1 or not head.value_is(HEADER_TRANSFER_ENCODING, b"chunked"):
            return refuse_encoding(client, raw)
        framing = FRAMING_CHUNKED

    length = head.content_length()
    if framing == FRAMING_NONE and client.plane.settings.takes_empty_length and head.has_empty_length():
        if not client.has_awaited_route:
            # Otherwise it was counted before it waited.
            client.plane.counters[COUNTER_EMPTY_CONTENT_LENGTH_HEADER] += 1
        length = -1
    if framing == FRAMING_NONE and length > 0:
        framing = FRAMING_LENGTH
    validator = request_validators.borrow()
    client.validator = validator
    if (
        head.has_bare_lf or head.minor > 1 or (length == -1 and head.has(HEADER_CONTENT_LENGTH))
        or (framing != FRAMING_NONE and head.has(HEADER_UPGRADE))
        or (framing == FRAMING_CHUNKED and not head.fields[head.first[HEADER_TRANSFER_ENCODING]].is_plain)
    ):
        if not validator.accepts(head.normalized_head(raw, True)):
            return refuse_diagnosed(client, raw, head)
    elif not validator.accepts(raw):
        if raw[:head.method.length] in KNOWN_METHODS and not head.has_raw_target():
            return refuse_diagnosed(client, raw, head)
        validator.discard()
        validator = client.validator = MessageValidator(True)
        if not validator.accepts(head.normalized_head(raw, True)):
            return refuse_diagnosed(client, raw, head)
    if not validator.head_complete:
        return refuse(client, raw, REFUSAL_MALFORMED, 400, b"")

    framing_start(&client.framing, framing, length)
    if length == -2 or client.framing.is_done != validator.message_complete or is_word(head.base, head.method, b"CONNECT"):
        return refuse(client, raw, REFUSAL_MALFORMED, 400, b"")
    if head.has_broken_escape():
        return refuse(client, raw, REFUSAL_MALFORMED, 400, b"")

    if head.seen[HEADER_HOST] > 1:
        return refuse(client, raw, REFUSAL_BAD_HOST, 400, b"too many Host headers")
    if head.minor >= 1 and not head.has(HEADER_HOST):
        return refuse(client, raw, REFUSAL_BAD_HOST, 400, b"missing required Host header")
    host = head.value_of(HEADER_HOST)
    if not has_only(_is_host, head.base + host.start, host.length) or not has_right_port(head.base + host.start, host.length):
        return refuse(client, raw, REFUSAL_BAD_HOST, 400, b"malformed Host header")
    client.keep_alive = head.wants_keep_alive()
    if head.value_of(HEADER_EXPECT).length and not head.value_is(HEADER_EXPECT, b"100-continue"):
        note_refusal(client, raw, REFUSAL_EXPECTATION, 417, 0)
        client.write_last(
            b"HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n" + date_line() + b"\r\n"
        )
        return False
    return True


cdef bint is_authority(const char* text, Py_ssize_t length) noexcept:
    """Whether Go takes this for the host, and maybe port, of an absolute-form target."""
    return (
        length > 0 and has_only(_is_host, text, length) and memchr(text, c"%", length) == NULL
        and has_right_port(text, length)
    )


cdef bint has_right_port(const char* text, Py_ssize_t length) noexcept:
    """Whether what stands behind the host, if anything does, is a colon and digits."""
    cdef char mark = c"]" if length and text[0] == c"[" else c":"
    cdef const char* end
    cdef Py_ssize_t at
    end = <const char*>memchr(text, mark, length)
    if end == NULL:
        return mark == c":"
    at = end + 1 - text
    if mark == c"]":
        if at == length:
            return True
        if text[at] != c":":
            return False
        at += 1
    while at < length and is_digit(text[at]):
        at += 1
    return at == length


cdef bint refuse(ClientConnection client, bytes received, int refusal, int status, bytes explanation) except -1:
    """Go's response to what it cannot read: explanation in status line and body, and the end of the connection. Always False.

    `received` is the beginning of the request, `refusal` a REFUSAL_*.
    """
    cdef bytes text = refusal_text(status, explanation)
    return refuse_with(client, received, refusal, status, text, text)


cdef bint refuse_with(
    ClientConnection client, bytes received, int refusal, int status, bytes status_text, bytes body
) except -1:
    note_refusal(client, received, refusal, status, PyBytes_GET_SIZE(body))
    client.write_last(refusal_message(status_text, body))
    return False


cdef bytes refusal_text(int status, bytes explanation):
    """What stands in the status line and in the body."""
    cdef bytes text = b"%d %s" % (status, reason(status))
    return text + b": " + explanation if explanation else text


cdef bytes refusal_message(bytes status_text, bytes body):
    # Go leaves out the length; exactly one framing header on every message is worth the difference.
    return (
        b"HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
        % (status_text, len(body), body)
    )


cdef bint refuse_encoding(ClientConnection client, bytes received) except -1:
    return refuse_with(
        client, received, REFUSAL_TRANSFER_ENCODING, 501, b"501 Not Implemented", b"Unsupported transfer encoding"
    )


cdef bint refuse_diagnosed(ClientConnection client, bytes received, Head head) except -1:
    """The validator refused this head: respond with what Go would have complained about."""
    cdef Verdict verdict = head.diagnose()
    if verdict == VERDICT_BAD_NAME:
        return refuse(client, received, REFUSAL_BAD_HEADER, 400, b"invalid header name")
    if verdict == VERDICT_BAD_VALUE:
        return refuse(client, received, REFUSAL_BAD_HEADER, 400, b"invalid header value")
    return refuse(client, received, REFUSAL_MALFORMED, 400, b"")


cdef bint respond_options(ClientConnection client, bytes raw, Head head) except -1:
    """`OPTIONS *` is for the server itself. Other methods have no business with `*`. Returns whether to read on."""
    cdef bytes lines = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date_line()
    if not is_word(head.base, head.method, b"OPTIONS"):
        return refuse(client, raw, REFUSAL_MALFORMED, 400, b"")
    if not client.framing.is_done:
        client.keep_alive = False
    if not client.keep_alive:
        client.write_last(lines + b"Connection: close\r\n\r\n")
        return False
    client.write(lines + b"\r\n")
    client.end_message()
    return True
