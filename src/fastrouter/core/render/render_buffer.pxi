# Render buffer: the one message that is under construction, which grows as it needs to.
#
# Rendering never awaits, so one buffer serves all connections of the process: each message ends before the next one begins. A
# fault drops the message that it has interrupted (`drop_message`) before the response to the fault begins.
#
# Everything that appends makes room for what it appends, so nobody has to know how long a message becomes. If there is no memory,
# the message is lost: what is appended then is ignored, and the end of the message raises MemoryError. So nobody checks for
# errors between begin and end.
#
# It is made of variables of the module and not of an object. The C compiler knows then that nothing else refers to them, and may
# keep the end of the message in a register. Whoever gathers what is rendered swaps a RenderMemory of its own in while it renders.

cdef char* _message = NULL      # its memory
cdef char* _at = NULL           # behind its last byte
cdef char* _limit = NULL        # behind its memory
cdef bint _is_open = False      # a message is under construction
cdef bint _is_lost = False      # there was no memory for all of it


# --- a message from its begin to its end

cdef inline void begin_message() noexcept:
    """Begin with an empty message. The one before must have ended."""
    global _message, _limit
    if _limit - _message > RENDER_KEEP:
        # One message of some megabytes must not cost its memory for ever.
        free(_message)
        _message = _limit = NULL
    resume_message(0)


cdef inline void resume_message(Py_ssize_t size) noexcept:
    """Begin with the first `size` bytes of what was rendered last in this memory."""
    global _at, _is_open, _is_lost
    assert not _is_open, "another message is under construction"
    assert 0 <= size <= _limit - _message
    _at = _message + size
    _is_open = True
    _is_lost = False


cdef inline void swap_memory(RenderMemory* other) noexcept:
    """Render elsewhere, or where it was before, from now on."""
    global _message, _limit
    cdef RenderMemory own
    assert not _is_open, "a message is under construction"
    own.start = _message
    own.limit = _limit
    _message = other.start
    _limit = other.limit
    other[0] = own


cdef inline Py_ssize_t end_message() except -1:
    """Returns the size of the message; its bytes stand at `_message` until the next one begins."""
    global _is_open
    assert _is_open, "no message is under construction"
    _is_open = False
    if _is_lost:
        raise MemoryError()
    return _at - _message


cdef bytes take_message():
    """End the message. Returns its bytes."""
    cdef Py_ssize_t size = end_message()
    return PyBytes_FromStringAndSize(_message, size)


cdef inline void drop_message() noexcept:
    """End the message, if there is one: nobody wants it."""
    global _is_open
    _is_open = False


# --- its bytes

cdef inline Py_ssize_t message_size() noexcept:
    return _at - _message


cdef inline void cut_message(Py_ssize_t size) noexcept:
    """Leave the first `size` bytes."""
    global _at
    assert _is_open and 0 <= size <= message_size()
    _at = _message + size


cdef void replace_in_message(Py_ssize_t begin, Py_ssize_t end, const char* data, Py_ssize_t size) noexcept:
    """Put `data`, which is not of this message, in place of the bytes from `begin` to `end`."""
    global _at
    cdef Py_ssize_t behind = message_size() - end
    assert 0 <= begin <= end <= message_size()
    if size > end - begin and not has_room(size):
        return
    if size != end - begin:
        memmove(_message + begin + size, _message + end, behind)
    memcpy(_message + begin, data, size)
    _at = _message + begin + size + behind


cdef inline bint has_room(Py_ssize_t size) noexcept:
    """Whether there is room for `size` bytes more. If not, the message is lost."""
    assert _is_open, "no message is under construction"
    return likely(size <= _limit - _at) or grow_message(size)


cdef bint grow_message(Py_ssize_t size) noexcept:
    global _message, _at, _limit, _is_lost
    cdef Py_ssize_t used = message_size()
    cdef Py_ssize_t capacity = max(2 * (_limit - _message), used + size, 1024)
    cdef char* grown = <char*>realloc(_message, capacity)
    if grown == NULL:
        _is_lost = True
        return False
    _message = grown
    _at = grown + used
    _limit = grown + capacity
    return True


cdef inline char* room_for(Py_ssize_t size) except NULL:
    """Where up to `size` bytes may be written directly; `fill_to` must be told afterwards where they end."""
    if not has_room(size):
        raise MemoryError()
    return _at


cdef inline void fill_to(char* end) noexcept:
    """The bytes written to what `room_for` has returned end here."""
    global _at
    assert _is_open and _at <= end <= _limit, "more was written than there was room for"
    _at = end


# --- what is appended

cdef inline void put(const char* data, Py_ssize_t size) noexcept:
    global _at
    assert _is_open, "no message is under construction"
    if likely(size <= _limit - _at):
        memcpy(_at, data, size)
        _at += size
    else:
        put_and_grow(data, size)


cdef void put_and_grow(const char* data, Py_ssize_t size) noexcept:
    """The part of `put` that is rare and long, so that the compiler can inline the rest."""
    global _at
    if grow_message(size):
        memcpy(_at, data, size)
        _at += size


cdef inline void put_text(const char* text) noexcept:
    """Append a C literal; its length is folded by the C compiler."""
    put(text, strlen(text))


cdef inline void put_bytes(bytes data) noexcept:
    put(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline void put_byte(char byte) noexcept:
    put(&byte, 1)


cdef inline void put_between(const char* before, const char* data, Py_ssize_t size, const char* behind) noexcept:
    """Append `data` between two C literals."""
    put_text(before)
    put(data, size)
    put_text(behind)


cdef inline void put_line(const char* name, const char* value, Py_ssize_t length) noexcept:
    """Append a header line. `name`: a C literal, with its colon and blank."""
    put_text(name)
    put(value, length)
    put_text(b"\r\n")


cdef inline void put_decimal(int64_t number) noexcept:
    global _at
    if number < 0:
        put_byte(c"-")
        number = -number
    if has_room(19):
        _at = write_decimal(_at, number)


cdef inline void put_padded(uint64_t number, int width) noexcept:
    """Append `number` in exactly `width` decimal digits, zeros in front."""
    global _at
    if has_room(width):
        _at = write_padded(_at, number, width)


cdef inline void put_seconds(int64_t nanoseconds) noexcept:
    """Append a duration, which is not negative, as seconds with six decimals (spec 6.2), rounded half up."""
    cdef uint64_t micros = <uint64_t>(nanoseconds + 500) // 1000
    put_decimal(micros // 1000000)
    put_byte(c".")
    put_padded(micros % 1000000, 6)


cdef inline void put_hex(uint64_t number) noexcept:
    global _at
    if has_room(16):
        _at = write_hex(_at, number)


# --- numbers, in place: each returns where it ends

# 00 to 99.
cdef char _digit_pairs[200]

cdef void _make_digit_pairs():
    cdef int i
    for i in range(100):
        _digit_pairs[2 * i] = <char>(48 + i // 10)
        _digit_pairs[2 * i + 1] = <char>(48 + i % 10)


_make_digit_pairs()


cdef inline char* write_decimal(char* into, uint64_t number) noexcept nogil:
    """Write up to 19 digits."""
    cdef uint64_t bound = 10
    cdef int width = 1
    while number >= bound:
        bound *= 10
        width += 1
    return write_padded(into, number, width)


cdef inline char* write_padded(char* into, uint64_t number, int width) noexcept nogil:
    """Write exactly `width` digits, two at a time: each step waits for the division of the one before."""
    cdef int at = width
    while at > 1:
        at -= 2
        memcpy(into + at, _digit_pairs + 2 * (number % 100), 2)
        number //= 100
    if at == 1:
        into[0] = <char>(48 + number % 10)
    return into + width


cdef inline char* write_hex(char* into, uint64_t number) noexcept nogil:
    """Write up to 16 hexadecimal digits."""
    cdef int width = hex_width(number)
    cdef int at
    for at in range(width - 1, -1, -1):
        into[at] = (<const char*>b"0123456789abcdef")[number & 15]
        number >>= 4
    return into + width


cdef inline int hex_width(uint64_t number) noexcept nogil:
    """How many hexadecimal digits `number` has."""
    cdef int width = 1
    while number > 15:
        number >>= 4
        width += 1
    return width


cdef inline char* write_hex_bytes(char* into, const unsigned char* raw, int size) noexcept nogil:
    """Write every byte in two hexadecimal digits."""
    cdef const char* digits = b"0123456789abcdef"
    cdef int i
    for i in range(size):
        into[2 * i] = digits[raw[i] >> 4]
        into[2 * i + 1] = digits[raw[i] & 15]
    return into + 2 * size
