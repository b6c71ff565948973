# Frames: where they end in the bytes of a peer, before the engine sees them.
#
# The engine takes whatever it is given in one call. What it is given is cut here, so that one call takes little time and unpacks
# little: a header block of some bytes may stand for a whole header list.

cdef Py_ssize_t walk_frames(FrameWalk* walk, const unsigned char* data, Py_ssize_t at, Py_ssize_t size) noexcept:
    """Walk on from `data[at]`, up to the end of what is given to the engine at once. Returns where that is."""
    cdef Py_ssize_t end = min(size, at + HTTP2_SLICE)
    cdef Py_ssize_t step
    cdef int heads = 0
    cdef int frames = 0
    while at < end:
        if walk.left:
            step = min(<Py_ssize_t>walk.left, end - at)
            walk.left -= <uint32_t>step
            at += step
            if walk.left == 0 and (walk.kind == FRAME_HEADERS or walk.kind == FRAME_CONTINUATION):
                heads += 1
                if heads == HTTP2_HEADS_AT_ONCE:
                    break
            continue
        walk.head[walk.head_size] = data[at]
        walk.head_size += 1
        at += 1
        if walk.head_size == FRAME_HEAD:
            begin_frame(walk)
            frames += 1
            if frames == HTTP2_FRAMES_AT_ONCE:
                break
    return at


cdef void begin_frame(FrameWalk* walk) noexcept:
    cdef int flags = walk.head[4]
    walk.head_size = 0
    walk.left = <uint32_t>big_endian(walk.head, 3)
    walk.kind = walk.head[3]
    if walk.kind == FRAME_HEADERS or walk.kind == FRAME_CONTINUATION:
        walk.is_head_open = not flags & FRAME_FLAG_END_HEADERS
    elif walk.kind == FRAME_RST_STREAM:
        walk.resets += 1
    elif walk.kind == FRAME_DATA:
        walk.chatter += walk.left == 0 and not flags & FRAME_FLAG_END_STREAM
    elif walk.kind != FRAME_WINDOW_UPDATE:
        walk.chatter += 1


cdef class Allowance:
    """What a peer may do of something for free, so much at once and so much per second."""

    def __cinit__(self, int64_t size, int64_t per_second):
        self.size = self.left = size
        self.per_second = per_second
        self.since_ns = coarse_ns()

    cdef bint spend(self, int64_t amount) noexcept:
        """Whether there was so much left."""
        cdef int64_t now
        if amount == 0:
            return True
        self.left -= amount
        if self.left < 0:
            now = coarse_ns()
            self.left = min(self.size, self.left + (now - self.since_ns) * self.per_second // 1000000000)
            self.since_ns = now
        return self.left >= 0


cdef bytes goaway_frame(uint32_t last_stream, int code):
    """The last frame to a peer that the engine says no more to."""
    return b"\0\0\x08\x07\0\0\0\0\0" + (<object>last_stream).to_bytes(4, "big") + (<object>code).to_bytes(4, "big")
