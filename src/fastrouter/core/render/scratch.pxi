# Scratch: the worker's one growable buffer for messages under construction.
#
# Rendering never awaits, so one buffer serves every connection of the process: a renderer reserves an upper bound once,
# then appends through a bare pointer, and one exact `bytes` object leaves for the transport.

cdef char* _scratch = NULL
cdef Py_ssize_t _scratch_size = 0
# What was asked for last; there may be more.
cdef Py_ssize_t _scratch_room = 0
# Above this the buffer is given back after use: one 1 MiB request must not cost its memory for ever.
cdef Py_ssize_t SCRATCH_KEEP = 512 * 1024

cdef char* scratch_reserve(Py_ssize_t size) except NULL:
    """The buffer, with room for `size` bytes. What it held before is lost."""
    global _scratch, _scratch_size, _scratch_room
    _scratch_room = size
    if size > _scratch_size or _scratch_size > SCRATCH_KEEP >= size:
        free(_scratch)
        _scratch_size = 0
        _scratch = <char*>malloc(max(size, 64 * 1024))
        if _scratch == NULL:
            raise MemoryError()
        _scratch_size = max(size, 64 * 1024)
    return _scratch


cdef inline Py_ssize_t scratch_length(const char* end) except -1:
    """Of what is rendered up to `end`."""
    assert _scratch <= end <= _scratch + _scratch_room, "more was rendered than there is room for"
    return end - _scratch


cdef inline bytes scratch_take(const char* end):
    return PyBytes_FromStringAndSize(_scratch, scratch_length(end))


cdef inline char* put(char* out, const char* data, Py_ssize_t size) noexcept nogil:
    memcpy(out, data, size)
    return out + size


cdef inline char* put_text(char* out, const char* text) noexcept nogil:
    """Append a C literal; its length is folded by the C compiler."""
    return put(out, text, strlen(text))


cdef inline char* put_bytes(char* out, bytes data) noexcept:
    return put(out, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline char* put_decimal(char* out, int64_t number) noexcept nogil:
    cdef char digits[24]
    cdef int at = 24
    cdef uint64_t rest = <uint64_t>number
    if number < 0:
        out[0] = c"-"
        out += 1
        rest = <uint64_t>(-number)
    while True:
        at -= 1
        digits[at] = <char>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            return put(out, digits + at, 24 - at)


cdef inline char* put_padded(char* out, uint64_t number, int width) noexcept nogil:
    """Append `number` in exactly `width` decimal digits, zeros in front."""
    cdef int at
    for at in range(width - 1, -1, -1):
        out[at] = <char>(48 + number % 10)
        number //= 10
    return out + width


cdef inline char* put_seconds(char* out, int64_t nanoseconds) noexcept nogil:
    """Append a duration as seconds with six decimals (spec 6.2), rounded half up."""
    cdef uint64_t micros = <uint64_t>(nanoseconds + 500) // 1000
    out = put_decimal(out, micros // 1000000)
    out[0] = c"."
    return put_padded(out + 1, micros % 1000000, 6)


cdef inline char* put_hex(char* out, uint64_t number) noexcept nogil:
    cdef char digits[16]
    cdef int at = 16
    while True:
        at -= 1
        digits[at] = (<const char*>b"0123456789abcdef")[number & 15]
        number >>= 4
        if number == 0:
            return put(out, digits + at, 16 - at)


cdef inline char* put_hex_bytes(char* out, const unsigned char* raw, int size) noexcept nogil:
    """Append every byte in two hexadecimal digits."""
    cdef const char* digits = b"0123456789abcdef"
    cdef int i
    for i in range(size):
        out[2 * i] = digits[raw[i] >> 4]
        out[2 * i + 1] = digits[raw[i] & 15]
    return out + 2 * size
