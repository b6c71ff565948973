# Engine memory: where libnghttp2 gets its memory from, which is malloc, but for one buffer.
#
# A session has a buffer of 16 KiB, in which it makes one frame after the other. Between two calls of `mem_send` nothing in it is
# read again: what a call returns is copied before the next one, larger header blocks go on in buffers of their own, and bodies
# never stand in it (`on_send_body`, which therefore does not refuse a frame that has been made). One is enough for all clients.
# A session towards a backend begins with the preface in it, and has its own.

DEF FRAME_BUFFER_SIZE = 16394       # the largest payload of a frame, its head, and one byte of padding

cdef char[FRAME_BUFFER_SIZE] _frame_buffer
# The session that is created at this moment has not got it yet.
cdef bint _lends_frame_buffer = False
cdef NGMemory _engine_memory


cdef void* allocate(size_t size, void* user) noexcept:
    return malloc(size)


cdef void release(void* memory, void* user) noexcept:
    if memory != <void*>_frame_buffer:
        free(memory)


cdef void* allocate_zeros(size_t count, size_t size, void* user) noexcept:
    return calloc(count, size)


cdef void* resize(void* memory, size_t size, void* user) noexcept:
    global _lends_frame_buffer
    cdef void* grown
    if memory == NULL and size == FRAME_BUFFER_SIZE and _lends_frame_buffer:
        _lends_frame_buffer = False
        return _frame_buffer
    if memory != <void*>_frame_buffer:
        return realloc(memory, size)
    grown = malloc(size)
    if grown != NULL:
        memcpy(grown, memory, min(size, <size_t>FRAME_BUFFER_SIZE))
    return grown


_engine_memory.user = NULL
_engine_memory.malloc = allocate
_engine_memory.free = release
_engine_memory.calloc = allocate_zeros
_engine_memory.realloc = resize
