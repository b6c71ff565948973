# ConnectionPool: the idle connections of one backend identity.

cdef class ConnectionPool:
    """Last in, first out: the connection used last is the least likely to have been given up by the backend.

    Behind a response without a body a connection rests first. A backend that sends a body all the same, and late, sends it into
    the rest, where it is noticed, and not to the next request, which would take it for its response (ADR 22).
    """

    def __cinit__(self):
        self.idle = []
        self.resting = []
        self.idle_limit = IdleLimit()

    def __len__(self):
        return PyList_GET_SIZE(self.idle) + PyList_GET_SIZE(self.resting)

    def __repr__(self):
        return f"<ConnectionPool of {len(self)} idle>"

    cdef BackendSide acquire(self, Request request):
        """An idle connection that has not ended and may serve `request`, or None: dial a new one."""
        cdef BackendConnection connection
        if not request.is_replayable() and len(self) > 0 and self._may_end_now():
            return None
        while True:
            connection = self._next()
            if connection is None:
                return None
            self._take_out(connection)
            if connection.is_usable():
                return connection.side
            connection.close()

    cdef inline BackendConnection _next(self):
        """The freshest one or, if there is none, the one whose rest was over first; or None."""
        if PyList_GET_SIZE(self.idle) > 0:
            return <BackendConnection>self.idle.pop()
        if PyList_GET_SIZE(self.resting) > 0 and (<BackendConnection>self.resting[0]).rests_until_ns <= monotonic_ns():
            return <BackendConnection>self.resting.pop(0)
        return None

    cdef inline int _take_out(self, BackendConnection connection) except -1:
        """It is not idle any more."""
        connection.disarm()
        connection.plane.counters[COUNTER_IDLE_BACKEND_CONNECTIONS] -= 1
        return 0

    cdef bint _may_end_now(self) except -1:
        """Whether the backend may close even the idle connection that would be used next at this moment."""
        cdef list kept = self.idle if PyList_GET_SIZE(self.idle) > 0 else self.resting
        cdef BackendConnection oldest = <BackendConnection>kept[0]
        cdef BackendConnection next = <BackendConnection>kept[PyList_GET_SIZE(kept) - 1] if kept is self.idle else oldest
        cdef int64_t now = monotonic_ns()
        if not next.plane.settings.learns_idle_limits or self.idle_limit.is_clear(next.idle_ns(now), now):
            return False
        if not self.idle_limit.is_refuted(oldest.idle_ns(now)) or oldest.has_ended():
            return True
        self.idle_limit.forget()
        return not self.idle_limit.is_clear(next.idle_ns(now), now)

    cdef int on_ended(self, BackendConnection connection) except -1:
        """The backend has closed this one."""
        if connection in self.idle or connection in self.resting:
            self.idle_limit.on_end(connection.idle_ns(monotonic_ns()))
        return 0

    cdef BackendSide new(self, DataPlane plane, Endpoint endpoint, Request request):
        """A connection that is dialled for `request`, the first one it is to serve."""
        return BackendConnection(plane, endpoint).side

    cdef int release(self, BackendConnection connection) except -1:
        """Take back a connection whose exchange ended cleanly; beyond the limit it is closed."""
        cdef DataPlane plane = connection.plane
        if PyList_GET_SIZE(self.idle) + PyList_GET_SIZE(self.resting) >= plane.settings.max_idle_per_endpoint:
            return connection.close()
        if connection.framing.kind == FRAMING_NONE and connection.was_used and plane.settings.bodiless_rest_ns > 0:
            connection.rests_until_ns = monotonic_ns() + plane.settings.bodiless_rest_ns
            self.resting.append(connection)
        else:
            self.idle.append(connection)
        plane.counters[COUNTER_IDLE_BACKEND_CONNECTIONS] += 1
        connection.arm(plane.backend_idles)
        return 0

    cdef int evict(self, BackendConnection connection) except -1:
        """Forget an idle connection that ended or waited too long."""
        cdef list kept = self.idle if connection in self.idle else self.resting
        if connection in kept:
            kept.remove(connection)
            self._take_out(connection)
        return 0
