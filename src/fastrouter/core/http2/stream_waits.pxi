# Stream waits: what a stream waits for, which a connection of HTTP/1 would wait for itself.

cdef class StreamWatch(Timed):
    """What a stream waits for that has no deadline otherwise."""

    def __cinit__(self, HTTP2ClientSide side):
        self.side = side

    cdef int watch_silence(self) except -1:
        """Let the wait for either side of its tunnel to say something begin anew."""
        self.arm(self.side.connection.plane.tunnel_silences)
        return 0

    cdef int watch_stall(self) except -1:
        """Let the wait for a client that takes nothing begin anew."""
        self.unsent = self.side.unsent()
        self.arm(self.side.connection.plane.stalls)
        return 0

    cdef on_deadline(self, DeadlineQueue queue):
        cdef HTTP2ClientSide side = self.side
        if queue is side.connection.plane.tunnel_silences:
            side.tunnel.on_silence()
        elif side.unsent() < self.unsent:
            self.watch_stall()
        else:
            side.give_up()

    cdef int on_panic(self, object error) except -1:
        return self.side.on_panic(error)


cdef StreamWatch watch_of(HTTP2ClientSide side):
    """The watch of a stream, made when it waits for the first time."""
    if side.watch is None:
        side.watch = StreamWatch(side)
    return side.watch


cdef class StreamRouteWait(FairReader):
    """A request without a route, while that may be on its way; in its turn it goes on."""

    def __cinit__(self, HTTP2ClientSide side, Exchange exchange):
        self.side = side
        self.exchange = exchange
        self.plane = exchange.plane
        # Whoever has none takes no turns.
        self.transport = side.connection.transport

    cdef int on_route(self, bint is_there) except -1:
        return self.plane.turns.add(self)

    cdef int on_turn(self) except -1:
        cdef HTTP2ClientSide side = self.side
        self.side = None
        return 0 if side is None else side.on_route_wait_over()

    cdef int _apply(self) except -1:
        # It reads nothing.
        return 0

    cdef int on_panic(self, object error) except -1:
        return log_panic(self.plane, error)
