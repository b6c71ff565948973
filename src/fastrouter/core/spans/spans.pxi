# Spans: which traces are sampled, and the spans of their requests on the way out of this process.

cdef class Spans:
    """Makes the spans of sampled traces, and gives them to `send(spans, count)` some at a time, as fields of `ScopeSpans`.

    `ratio` (0 to 1) of the traces that begin here are sampled. Where a client has sent a trace, it says whether.
    """

    def __init__(self, send not None, *, double ratio):
        if not 0 <= ratio <= 1:
            raise ValueError(f"ratio {ratio} is not between 0 and 1")
        self.send = send
        # Of 56 bits, which is what W3C's second level of trace contexts has to be random.
        self.threshold = <uint64_t>((1 - ratio) * (<uint64_t>1 << 56))

    def __dealloc__(self):
        free(self.batch.start)

    def flush(self):
        """Send what there is."""
        self._flush()

    cdef bint samples(self, const char* trace) noexcept:
        """Whether a trace that begins here, with an id of 32 hexadecimal digits, is sampled."""
        cdef uint64_t number = 0
        cdef int i
        for i in range(18, 32):
            number = number << 4 | hex_digit(<unsigned char>trace[i])
        return number >= self.threshold

    cdef int on_request(self, Exchange exchange) except -1:
        """A request that has a span is over."""
        swap_memory(&self.batch)
        if self.size:
            resume_message(self.size)
        else:
            begin_message()
        try:
            put_span(exchange)
            self.size = end_message()
            self.count += 1
        finally:
            # Without what a fault has left of one.
            drop_message()
            swap_memory(&self.batch)
        if self.size >= SPAN_BATCH:
            self._flush()
        return 0

    cdef int _flush(self) except -1:
        cdef bytes spans
        cdef int count = self.count
        if count:
            spans = self.batch.start[: self.size]
            self.size = self.count = 0
            self.send(spans, count)
        return 0
