# ContinueWait: how long a request waits with its body for the word of its backend.

cdef class ContinueWait(Timed):
    """The second a backend is given to answer `Expect: 100-continue` before the body is asked for anyway (spec 4.0)."""

    def __cinit__(self, Exchange exchange):
        self.exchange = exchange

    cdef on_deadline(self, DeadlineQueue queue):
        cdef Exchange exchange = self.exchange
        if not exchange.is_finished and not exchange.request.is_body_wanted:
            exchange.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            exchange.open_body()

    cdef int on_panic(self, object error) except -1:
        return respond_panic(self.exchange, error)
