# Protobuf: fields as they travel (protobuf.dev/programming-guides/encoding), appended to the message under construction.

cdef inline char* write_varint(char* into, uint64_t number) noexcept nogil:
    """Write up to ten bytes; returns where they end."""
    while number > 127:
        into[0] = <char>(number & 127 | 128)
        into += 1
        number >>= 7
    into[0] = <char>number
    return into + 1


cdef inline void lengthen_varint(char* start, char* end, Py_ssize_t width) noexcept nogil:
    """Have a varint end `width` bytes behind its start: zeros in front of a number, which are written last, change nothing."""
    if end - start < width:
        (end - 1)[0] |= <char>128
        memset(end, 128, width - (end - start) - 1)
        start[width - 1] = 0


cdef inline void put_varint(uint64_t number) noexcept:
    global _at
    if has_room(10):
        _at = write_varint(_at, number)


cdef inline void put_number_field(int field, uint64_t number) noexcept:
    put_varint(field << 3)
    put_varint(number)


cdef inline void put_long_number_field(int field, uint64_t number) noexcept:
    """The same, always in as many bytes as a number can have."""
    global _at
    cdef char* end
    put_varint(field << 3)
    if has_room(10):
        end = write_varint(_at, number)
        lengthen_varint(_at, end, 10)
        _at += 10


cdef inline void put_sized_field(int field, const char* text, Py_ssize_t size) noexcept:
    put_varint(field << 3 | 2)
    put_varint(size)
    put(text, size)


cdef inline void put_fixed64_field(int field, uint64_t number) noexcept:
    put_varint(field << 3 | 1)
    # As travels, this machine has it: the lowest byte first.
    put(<const char*>&number, 8)


cdef inline void put_fixed32_field(int field, uint32_t number) noexcept:
    put_varint(field << 3 | 5)
    put(<const char*>&number, 4)


cdef inline void put_bytes_field(int field, bytes text) noexcept:
    put_sized_field(field, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef inline Py_ssize_t begin_field(int field) noexcept:
    """Begin a field whose size is not known yet; returns what `end_field` wants."""
    put_varint(field << 3 | 2)
    put_byte(0)
    return message_size()


cdef inline void end_field(Py_ssize_t begun) noexcept:
    """Put the size in front of what was appended since `begin_field`."""
    cdef char size[10]
    cdef char* end = write_varint(size, message_size() - begun)
    replace_in_message(begun - 1, begun, size, end - size)


# --- the same as objects of their own, while another message may be under construction

cdef bytes varint_of(uint64_t number, int width=1):
    """A varint of `width` bytes (10 at most), or more if it needs them."""
    cdef char text[10]
    cdef char* end = write_varint(text, number)
    lengthen_varint(text, end, width)
    return PyBytes_FromStringAndSize(text, max(end - text, width))


cdef bytes key_of(int field, int wire_type):
    """What stands before the value of a field."""
    return varint_of(field << 3 | wire_type)


cdef bytes sized_field(int field, bytes text):
    return key_of(field, 2) + varint_of(PyBytes_GET_SIZE(text)) + text
