# Body: where a message body ends, and the same bytes under the framing of the other side.
#
# The walk below runs in step with the validator: it finds how many of the bytes at hand belong to this message, the validator
# is fed exactly those, and both must agree on where the message ends (`MessageValidator.message_complete` == `Framing.is_done`).

cdef void framing_start(Framing* framing, int kind, int64_t length) noexcept nogil:
    framing.kind = kind
    framing.state = CHUNK_SIZE
    framing.remaining = length if kind == FRAMING_LENGTH else 0
    framing.digits = framing.extension = framing.trailer_lines = 0
    framing.excess = 0
    framing.forgives_blanks = framing.has_blanks = False
    framing.is_done = kind == FRAMING_NONE or (kind == FRAMING_LENGTH and length == 0)


cdef void put_framing(Head head, int framing) noexcept:
    """Write the framing of a message that is passed on: its length, or that it is chunked and what its trailer will have."""
    cdef Slice names
    if framing == FRAMING_LENGTH:
        put_text(b"Content-Length: ")
        put_decimal(head.content_length())
        put_text(b"\r\n")
    elif framing == FRAMING_CHUNKED:
        if head.has(HEADER_TRAILER):
            names = head.value_of(HEADER_TRAILER)
            put_line(b"Trailer: ", head.base + names.start, names.length)
        put_text(b"Transfer-Encoding: chunked\r\n")


cdef Py_ssize_t walk_chunked(
    Framing* framing, const char* data, Py_ssize_t size, bint is_rechunked, int64_t* body_bytes, bytearray trailer,
) except -2:
    """Walk chunked bytes up to the end of the body, appending the payload to the message.

    `is_rechunked`: the payload is written as one chunk, because many small chunks would cost the other side as much as they cost
    here; the caller writes the last chunk and the trailer. Lines of the trailer section are collected in `trailer`. Returns how
    many bytes were used up: not all of them if they hold more than CHUNKS_AT_ONCE chunks; -1 for bytes that are no chunked body
    (the validator says why).
    """
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t span
    cdef Py_ssize_t start = message_size()
    cdef char size_line[18]
    cdef char* behind
    cdef const char* newline
    cdef unsigned char byte
    cdef int digit
    cdef int gap = 0
    cdef int chunks = 0
    if is_rechunked:
        # As much as the size line takes if it is all payload, which it nearly is as a rule.
        gap = hex_width(size) + 2
        fill_to(room_for(gap) + gap)
    while at < size and not framing.is_done:
        if framing.state == CHUNK_DATA:
            span = min(framing.remaining, size - at)
            put(data + at, span)
            framing.remaining -= span
            at += span
            if framing.remaining == 0:
                framing.state = CHUNK_DATA_CR
            continue
        if framing.state == CHUNK_TRAILER:
            newline = <const char*>memchr(data + at, c"\n", size - at)
            span = size - at if newline == NULL else newline + 1 - (data + at)
            if PyByteArray_GET_SIZE(trailer) + span > TRAILER_MAX:
                return -1
            trailer += data[at : at + span]
            at += span
            if newline != NULL:
                framing.state = CHUNK_TRAILER_START
            continue
        byte = <unsigned char>data[at]
        if framing.state == CHUNK_SIZE and framing.digits == 0:
            if chunks == CHUNKS_AT_ONCE:
                break
            chunks += 1
        at += 1
        if framing.state == CHUNK_SIZE:
            digit = hex_digit(byte)
            if digit >= 0:
                framing.digits += 1
                # 15 digits do not reach the sign bit. Leading zeros count, too, so the size line is bounded.
                if framing.digits > 15:
                    return -1
                framing.remaining = framing.remaining * 16 + digit
            elif framing.digits == 0:
                return -1
            elif byte == c"\r":
                framing.state = CHUNK_SIZE_LF
            elif byte == c";":
                framing.state = CHUNK_EXTENSION
            elif framing.forgives_blanks and is_blank(byte):
                framing.state = CHUNK_SIZE_BLANK
                framing.has_blanks = True
            else:
                return -1
        elif framing.state == CHUNK_SIZE_BLANK:
            framing.extension += 1
            if byte == c"\r":
                framing.state = CHUNK_SIZE_LF
            elif not is_blank(byte) or framing.extension > CHUNK_EXTENSION_MAX:
                return -1
        elif framing.state == CHUNK_EXTENSION:
            framing.extension += 1
            if byte == c"\r":
                framing.state = CHUNK_SIZE_LF
            elif byte == c"\n" or framing.extension > CHUNK_EXTENSION_MAX:
                return -1
        elif framing.state == CHUNK_SIZE_LF:
            if byte != c"\n":
                return -1
            # Go's allowance for size lines: 16 bytes a chunk, and twice its data.
            framing.excess = max(0, framing.excess + framing.digits + framing.extension + 2 - 16 - 2 * framing.remaining)
            if framing.excess > CHUNK_EXCESS_MAX:
                return -1
            framing.digits = framing.extension = 0
            if framing.remaining == 0:
                framing.state = CHUNK_TRAILER_START
            else:
                framing.state = CHUNK_DATA
        elif framing.state == CHUNK_DATA_CR:
            if byte != c"\r":
                return -1
            framing.state = CHUNK_DATA_LF
        elif framing.state == CHUNK_DATA_LF:
            if byte != c"\n":
                return -1
            framing.state = CHUNK_SIZE
        elif framing.state == CHUNK_TRAILER_START:
            if byte == c"\r":
                framing.state = CHUNK_LAST_LF
            elif byte == c"\n":
                return -1
            else:
                framing.trailer_lines += 1
                if framing.trailer_lines > TRAILER_LINES_MAX:
                    return -1
                framing.state = CHUNK_TRAILER
                at -= 1
        else:   # CHUNK_LAST_LF
            if byte != c"\n":
                return -1
            framing.is_done = True
    span = message_size() - start - gap
    body_bytes[0] += span
    if is_rechunked and span == 0:
        cut_message(start)
    elif is_rechunked:
        behind = write_hex(size_line, span)
        memcpy(behind, <const char*>b"\r\n", 2)
        replace_in_message(start, start + gap, size_line, behind + 2 - size_line)
        put_text(b"\r\n")
    return at


cdef inline int hex_digit(unsigned char byte) noexcept nogil:
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    if 65 <= byte <= 70:
        return byte - 55
    return -1


# Fields that must not travel in a trailer: framing, routing, and what belongs to one hop (RFC 9110 section 6.5.1).
cdef frozenset FORBIDDEN_IN_TRAILER = frozenset((
    b"connection", b"proxy-connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"content-length", b"host", b"expect", b"authorization", b"set-cookie",
    b"content-encoding", b"content-type", b"content-range", b"cache-control", b"cookie", b"range", b"max-forwards",
    b"x-forwarded-for", b"x-forwarded-proto", b"x-vcap-request-id", b"x-request-start", b"x-cf-applicationid",
    b"x-cf-instanceid", b"x-cf-instanceindex", b"x-cf-app-instance", b"x-cf-routererror", b"x-forwarded-client-cert",
    b"x-cf-proxy-signature", b"x-cf-proxy-metadata", b"x-cf-forwarded-url",
))


cdef bytes last_chunk(bytearray trailer):
    """The end of a chunked body: the zero chunk, and those of the validated trailer lines that may be passed on."""
    cdef list kept
    if not trailer:
        return b"0\r\n\r\n"
    kept = [b"0"]
    for line in bytes(trailer).split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name and name.lower() not in FORBIDDEN_IN_TRAILER:
            kept.append(b"-".join(word.capitalize() for word in name.split(b"-")) + b": " + value.strip(b" \t"))
    kept.append(b"\r\n")
    return b"\r\n".join(kept)
