# Frames: where they end in the bytes of a peer, before the engine sees them.
#
# The engine takes whatever it is given in one call. What it is given is cut here, so that one call takes little time and unpacks
# little: a header block of some bytes may stand for a whole header list. What a client must not send and the engine lets pass is
# found here, too.

cdef Py_ssize_t walk_frames(FrameWalk* walk, const unsigned char* data, Py_ssize_t at, Py_ssize_t size) noexcept:
    """Walk on from `data[at]`, up to the end of what is given to the engine at once. Returns where that is."""
    cdef Py_ssize_t end = min(size, at + HTTP2_SLICE)
    cdef Py_ssize_t begin = at
    cdef Py_ssize_t step
    cdef int heads = 0
    cdef int frames = 0
    while at < end:
        if walk.left:
            step = min(<Py_ssize_t>walk.left, end - at)
            if walk.kind == FRAME_PRIORITY or walk.kind == FRAME_WINDOW_UPDATE:
                if may_overflow(walk, data[at]) and (at > begin or overflows(walk, data[at])):
                    break
                step = note_byte(walk, data[at])
            walk.left -= <uint32_t>step
            at += step
            if walk.left == 0 and (walk.kind == FRAME_HEADERS or walk.kind == FRAME_CONTINUATION):
                heads += 1
                if heads == HTTP2_HEADS_AT_ONCE:
                    break
        else:
            walk.head[walk.head_size] = data[at]
            walk.head_size += 1
            at += 1
            if walk.head_size == FRAME_HEAD:
                begin_frame(walk)
                frames += 1
                if frames == HTTP2_FRAMES_AT_ONCE:
                    break
        if walk.fault:
            break
    return at


cdef void begin_frame(FrameWalk* walk) noexcept:
    cdef int flags = walk.head[4]
    walk.head_size = 0
    walk.left = <uint32_t>big_endian(walk.head, 3)
    walk.kind = walk.head[3]
    walk.stream = <uint32_t>big_endian(walk.head + 5, 4) & 0x7FFFFFFF
    walk.number = 0
    if walk.kind == FRAME_HEADERS or walk.kind == FRAME_CONTINUATION:
        walk.is_head_open = not flags & FRAME_FLAG_END_HEADERS
    elif walk.kind == FRAME_RST_STREAM:
        walk.resets += 1
    elif walk.kind == FRAME_DATA:
        walk.chatter += walk.left == 0 and not flags & FRAME_FLAG_END_STREAM
    elif walk.kind != FRAME_WINDOW_UPDATE:
        walk.chatter += 1
    if walk.engine != NULL:
        check_order(walk, flags)


cdef void check_order(FrameWalk* walk, int flags) noexcept:
    """Look whether a client may send this frame of its stream now; libnghttp2 ignores those of streams that have ended.

    What comes on a stream that the router has ended may have been on its way, and is no fault.
    """
    cdef int i
    if walk.kind == FRAME_HEADERS and walk.stream > walk.last_stream:
        walk.gap_begin = walk.last_stream
        walk.gap_end = walk.last_stream = walk.stream
    elif walk.kind == FRAME_HEADERS and walk.gap_begin < walk.stream < walk.gap_end:
        # Whoever leaves out a number gives it up (RFC 9113 section 5.1.1).
        walk.fault = HTTP2_PROTOCOL_ERROR
    elif walk.kind == FRAME_HEADERS or walk.kind == FRAME_DATA:
        for i in range(HTTP2_ENDS_KEPT):
            if walk.ends[i] == walk.stream and walk.stream and (
                # Of one that waits for its response the engine sees to that itself.
                walk.is_reset[i] or nghttp2.get_stream_remote_close(walk.engine, walk.stream) < 0
            ):
                walk.fault = HTTP2_STREAM_CLOSED
    elif walk.kind == FRAME_PRIORITY and walk.stream == 0:
        walk.fault = HTTP2_PROTOCOL_ERROR
    if walk.kind == FRAME_RST_STREAM or (
        flags & FRAME_FLAG_END_STREAM and (walk.kind == FRAME_HEADERS or walk.kind == FRAME_DATA)
    ):
        walk.ends[walk.end_at] = walk.stream
        walk.is_reset[walk.end_at] = walk.kind == FRAME_RST_STREAM
        walk.end_at = (walk.end_at + 1) % HTTP2_ENDS_KEPT


cdef Py_ssize_t note_byte(FrameWalk* walk, unsigned char byte) noexcept:
    """The next byte of PRIORITY, whose stream must not depend on itself, or of WINDOW_UPDATE. Always 1."""
    if walk.left > 1 or walk.kind == FRAME_WINDOW_UPDATE:
        walk.number = walk.number << 8 | byte
    elif walk.engine != NULL and walk.number & 0x7FFFFFFF == walk.stream:
        walk.fault = HTTP2_PROTOCOL_ERROR
    return 1


cdef bint may_overflow(FrameWalk* walk, unsigned char byte) noexcept:
    """Whether this byte completes a WINDOW_UPDATE that may be too much for its stream."""
    return (
        walk.kind == FRAME_WINDOW_UPDATE and walk.left == 1 and walk.engine != NULL and walk.stream != 0
        and (walk.number << 8 | byte) & 0x7FFFFFFF >= HTTP2_LARGE_UPDATE
    )


cdef bint overflows(FrameWalk* walk, unsigned char byte) noexcept:
    """Whether it is. The stream ends then (RFC 9113 section 6.9.1); libnghttp2 would end the connection."""
    cdef int64_t window = nghttp2.get_stream_remote_window(walk.engine, walk.stream)
    walk.overfull = 0
    if window + ((walk.number << 8 | byte) & 0x7FFFFFFF) > 0x7FFFFFFF:
        walk.overfull = walk.stream
    return walk.overfull != 0


cdef void allow(Allowance* allowance, int size, int per_second) noexcept:
    """Let a peer do `size` of something for free at once, and so much more per second."""
    allowance.size = size
    allowance.left = size
    allowance.per_second = per_second
    allowance.since_ns = coarse_ns()


cdef bint spend(Allowance* allowance, int64_t amount) noexcept:
    """Whether there was so much left."""
    cdef int64_t now
    if amount == 0:
        return True
    allowance.left -= amount
    if allowance.left < 0:
        now = coarse_ns()
        allowance.left = min(
            <int64_t>allowance.size,
            allowance.left + (now - allowance.since_ns) * allowance.per_second // 1000000000,
        )
        allowance.since_ns = now
    return allowance.left >= 0


cdef bytes goaway_frame(uint32_t last_stream, int code):
    """The last frame to a peer that the engine says no more to."""
    return b"\0\0\x08\x07\0\0\0\0\0" + (<object>last_stream).to_bytes(4, "big") + (<object>code).to_bytes(4, "big")
