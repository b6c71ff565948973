# Random bytes, and the UUIDs made of them.

# Random bits are drawn in blocks: one getrandom(2) for 256 request ids instead of one each.
cdef bytes _random_block = b""
cdef Py_ssize_t _random_at = 0

cdef const unsigned char* random_bytes(Py_ssize_t size) except NULL:
    """`size` (<= 4096) fresh random bytes, valid until the next call."""
    global _random_block, _random_at
    if _random_at + size > PyBytes_GET_SIZE(_random_block):
        _random_block = os_urandom(4096)
        _random_at = 0
    _random_at += size
    return <const unsigned char*>PyBytes_AS_STRING(_random_block) + _random_at - size


def _after_fork():
    """Discard the block, because two processes must never use the same ids."""
    global _random_block
    _random_block = b""


register_at_fork(after_in_child=_after_fork)


cdef int make_uuid4(char* into) except -1:
    """Write a random UUID (RFC 9562 version 4) as 36 characters."""
    cdef unsigned char raw[16]
    memcpy(raw, random_bytes(16), 16)
    raw[6] = (raw[6] & 0x0F) | 0x40
    raw[8] = (raw[8] & 0x3F) | 0x80
    write_hex_bytes(into, raw, 4)
    write_hex_bytes(into + 9, raw + 4, 2)
    write_hex_bytes(into + 14, raw + 6, 2)
    write_hex_bytes(into + 19, raw + 8, 2)
    write_hex_bytes(into + 24, raw + 10, 6)
    into[8] = into[13] = into[18] = into[23] = c"-"
    return 0
