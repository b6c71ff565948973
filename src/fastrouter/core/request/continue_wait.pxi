# ContinueWait: how long a request holds its body back for the 100 of its backend.

cdef class ContinueWait(Timed):
    """A backend has a second to respond to `Expect: 100-continue`; then the client is asked for the body anyway (spec 4.0)."""

    def __cinit__(self, Exchange exchange):
        self.exchange = exchange

    cdef on_deadline(self, DeadlineQueue queue):
        cdef Exchange exchange = self.exchange
        if not exchange.is_finished and not exchange.request.is_body_wanted:
            exchange.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            exchange.open_body()

    cdef int on_panic(self, object error) except -1:
        return respond_panic(self.exchange, error)
