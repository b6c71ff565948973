# ConnectionPool: the idle connections of one backend identity.

cdef class ConnectionPool:
    """Last in, first out: the connection used last is the least likely to have been given up by the backend."""

    def __cinit__(self):
        self.idle = []
        self.idle_limit = IdleLimit()

    def __len__(self):
        return len(self.idle)

    def __repr__(self):
        return f"<ConnectionPool of {len(self.idle)} idle>"

    cdef BackendSide acquire(self, Request request):
        """The freshest idle connection that has not ended and may serve `request`, or None: dial a new one."""
        cdef BackendConnection connection
        if not request.is_replayable() and PyList_GET_SIZE(self.idle) > 0 and self._may_end_now():
            return None
        while PyList_GET_SIZE(self.idle) > 0:
            connection = <BackendConnection>self.idle.pop()
            connection.disarm()
            connection.plane.counters[COUNTER_IDLE_BACKEND_CONNECTIONS] -= 1
            if not connection.has_ended():
                return connection.side
            self.idle_limit.on_end(connection.idle_ns(monotonic_ns()))
            connection.close()
        return None

    cdef bint _may_end_now(self) except -1:
        """Whether the backend may close even the freshest idle connection at this moment."""
        cdef BackendConnection freshest = <BackendConnection>self.idle[PyList_GET_SIZE(self.idle) - 1]
        cdef BackendConnection oldest = <BackendConnection>self.idle[0]
        cdef int64_t now = monotonic_ns()
        if not freshest.plane.settings.learns_idle_limits or self.idle_limit.is_clear(freshest.idle_ns(now), now):
            return False
        if not self.idle_limit.is_refuted(oldest.idle_ns(now)) or oldest.has_ended():
            return True
        self.idle_limit.forget()
        return not self.idle_limit.is_clear(freshest.idle_ns(now), now)

    cdef int on_ended(self, BackendConnection connection) except -1:
        """The backend has closed this one."""
        if connection in self.idle:
            self.idle_limit.on_end(connection.idle_ns(monotonic_ns()))
        return 0

    cdef BackendSide new(self, DataPlane plane, Endpoint endpoint, Request request):
        """A connection that is dialled for `request`, the first one it is to serve."""
        return BackendConnection(plane, endpoint).side

    cdef int release(self, BackendConnection connection) except -1:
        """Take back a connection whose exchange ended cleanly; beyond the limit it is closed."""
        cdef DataPlane plane = connection.plane
        if PyList_GET_SIZE(self.idle) >= plane.settings.max_idle_per_endpoint:
            return connection.close()
        self.idle.append(connection)
        plane.counters[COUNTER_IDLE_BACKEND_CONNECTIONS] += 1
        connection.arm(plane.backend_idles)
        return 0

    cdef int evict(self, BackendConnection connection) except -1:
        """Forget an idle connection that ended or waited too long."""
        if connection in self.idle:
            self.idle.remove(connection)
            connection.plane.counters[COUNTER_IDLE_BACKEND_CONNECTIONS] -= 1
        return 0
