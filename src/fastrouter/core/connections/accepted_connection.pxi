# AcceptedConnection: a connection from a client, whatever HTTP it speaks.

cdef class AcceptedConnection(Connection):
    cdef int on_accepted(self) except -1:
        """`transport` is open, and the connection is a client's from now on. Returns 0 if the client has left already, else 1."""
        self.attach(None if self.identity.is_tls else self.transport)
        if not self.identity.learn_address(self.transport):
            self.abort()
            return 0
        self.plane.clients.add(self)
        self.plane.counters[COUNTER_CLIENT_CONNECTIONS] += 1
        self.arm(self.plane.header_reads)
        return 1

    cdef object on_lost(self, object error):
        """The connection is lost. Returns the reason: `error`, or what `detach` knows."""
        error = self.detach(error)
        self.disarm()
        self.plane.large_heads.leave(self)
        if self in self.plane.clients:
            self.plane.clients.remove(self)
            self.plane.counters[COUNTER_CLIENT_CONNECTIONS] -= 1
        return error

    cdef int add_exchanges(self, list into) except -1:
        """Append the exchanges that are under way."""
        if self.exchange is not None:
            into.append(self.exchange)
        return 0

    cdef int refuse_large_head(self) except -1:
        """There is no room for the head that is coming."""
        raise AssertionError("an AcceptedConnection class defines refuse_large_head")

    cdef bint is_active(self) noexcept:
        """Whether a request is in progress: its head is on the way in, or its response on the way out."""
        return False

    cdef bint is_idle(self) noexcept:
        """Whether it waits for another request after the first."""
        return False

    cdef int drain(self, bint closes_idle) except -1:
        """The router begins to drain. With `closes_idle`, an idle connection is closed now."""
        raise AssertionError("an AcceptedConnection class defines drain")

    cdef int abort(self) except -1:
        """End it now."""
        self.is_closing = True
        self.disarm()
        if self.transport is not None:
            self.abort_transport()
        return 0

    cdef bint has_unread(self) except -1:
        """Whether the kernel has bytes for this connection that nobody has read yet."""
        cdef object raw = self.transport.get_extra_info("socket") if self.transport is not None else None
        cdef char byte
        return raw is not None and recv(raw.fileno(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0
