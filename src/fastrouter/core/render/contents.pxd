# render: bytes that are written.

cdef enum:
    RENDER_KEEP = 524288        # bytes of memory that stay between two messages

cdef struct RenderMemory:
    char* start                 # NULL at first
    char* limit                 # behind it
