# Repair: faults in the head or the trailer section of a response that RFC 9112 lets a proxy correct (spec 4.5). A request with
# them is refused.
#
# What is repaired replaces what was received, and is validated like anything else; what stays ambiguous is rejected.

cdef enum:
    REPAIR_MAX = 65536          # bytes of a head that is mended
    REPAIR_LINES_MAX = 1000


cdef bytes without_blanks(Framing* framing, const char* data, Py_ssize_t size):
    """Chunked bytes without the blanks behind the sizes of chunks. `framing` is the state before these bytes.

    The message under construction stays as it is.
    """
    cdef bytearray kept = bytearray()
    cdef bytearray trailer = bytearray()
    cdef Py_ssize_t behind = message_size()
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t step
    cdef int64_t ignored = 0
    while at < size:
        step = 1
        if framing.state == CHUNK_DATA:
            step = min(framing.remaining, size - at)
        elif framing.state == CHUNK_TRAILER:
            step = size - at
        step = walk_chunked(framing, data + at, step, False, &ignored, trailer)
        # The payload is not asked for here.
        cut_message(behind)
        if framing.state != CHUNK_SIZE_BLANK:
            kept += data[at : at + step]
        at += step
    return bytes(kept)


cdef list repaired_fields(list lines):
    """(name in lower case, line) of each field in the lines of a head or a trailer section; None if they are past repair."""
    cdef list fields = []
    cdef list unfolded = []
    cdef bytes name, colon, value
    for line in lines:
        if line[:1] not in (b" ", b"\t"):
            parts = [line]
            unfolded.append(parts)
        elif unfolded:
            parts.append(line.strip(b" \t"))
        else:
            return None
    for parts in unfolded:
        name, colon, value = b" ".join(parts).partition(b":")
        name = name.rstrip(b" \t")
        if not colon or not name:
            return None
        # A name with a blank in it is no valid one: Go leaves the field out.
        if b" " not in name:
            fields.append((name.lower(), name + b": " + value.strip(b" \t")))
    return fields


cdef bytes repaired_trailer(bytes trailer):
    """The lines of a trailer section, without its empty line, as `repaired_head` repairs those of a head; None likewise."""
    # Behind the last line feed is nothing.
    cdef list fields = repaired_fields([line.removesuffix(b"\r") for line in trailer.removesuffix(b"\n").split(b"\n")])
    return None if fields is None else b"".join([line + b"\r\n" for _, line in fields])


cdef bytes repaired_head(bytes head):
    """A response head without folded lines, misplaced blanks, and contradictions about its length; None if nothing was repaired.

    A version other than 1.0 and 1.1 is replaced by the one whose rules Go applies. `head` ends behind its empty line.
    """
    cdef list fields
    cdef list kept = []
    cdef set lengths = set()
    cdef bint is_chunked
    cdef bytes version, space, rest, repaired
    if PyBytes_GET_SIZE(head) > REPAIR_MAX or head.count(b"\n") > REPAIR_LINES_MAX:
        return None
    first, *lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
    # Behind the last line are the empty one and the end of the head.
    fields = repaired_fields(lines[: len(lines) - 2])
    if fields is None:
        return None
    is_chunked = any(line.lower() == b"transfer-encoding: chunked" for _, line in fields)
    for lower, line in fields:
        if lower == b"content-length":
            # RFC 9112 section 6.3: Transfer-Encoding overrides Content-Length.
            if is_chunked or line[16:] in lengths:
                continue
            lengths.add(line[16:])
        kept.append(line)
    version, space, rest = first.partition(b" ")
    if len(version) == 8 and version[:5] == b"HTTP/" and version[6:7] == b"." and (version[5:6] + version[7:]).isdigit():
        version = b"HTTP/1.0" if version < b"HTTP/1.1" else b"HTTP/1.1"
    repaired = b"\r\n".join([version + space + rest.lstrip(b" "), *kept, b"\r\n"])
    return None if repaired == head else repaired
