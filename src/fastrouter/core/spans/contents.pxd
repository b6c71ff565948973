# spans: requests of sampled traces, as OpenTelemetry has them.

cdef enum:
    SPAN_KIND_SERVER = 2        # `Span.kind`
    SPAN_STATUS_ERROR = 2       # `Status.code`

cdef enum:
    SPAN_BATCH = 65536          # bytes of spans that are sent at once
    SPAN_TEXT_MAX = 1024        # bytes of a text in a span

cdef enum:
    # What a request's `span` is made of: hex digits, one behind the other.
    SPAN_TRACE_ID = 0           # 32
    SPAN_ID = 32                # 16
    SPAN_PARENT_ID = 48         # 16, or nothing for the root of a trace

cdef class Spans:
    cdef object send                            # callable(spans: bytes, count: int)
    cdef uint64_t threshold                     # traces of our own whose last 56 bits are at least this are sampled
    cdef RenderMemory batch
    cdef Py_ssize_t size                        # bytes of whole spans in it
    cdef int count
    cdef bint samples(self, const char* trace) noexcept
    cdef int on_request(self, Exchange exchange) except -1
    cdef int _flush(self) except -1
