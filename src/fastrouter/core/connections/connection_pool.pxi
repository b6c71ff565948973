# ConnectionPool: the idle connections of one backend identity.

cdef class ConnectionPool:
    """Last in, first out: the connection used last is the least likely to have been given up by the backend."""

    def __cinit__(self):
        self.idle = []

    def __len__(self):
        return len(self.idle)

    def __repr__(self):
        return f"<ConnectionPool of {len(self.idle)} idle>"

    cdef BackendConnection acquire(self):
        """The freshest idle connection, or None: dial."""
        cdef BackendConnection connection
        if PyList_GET_SIZE(self.idle) == 0:
            return None
        connection = <BackendConnection>self.idle.pop()
        connection.disarm()
        connection.plane.counters[COUNTER_IDLE_BACKEND_CONNECTIONS] -= 1
        return connection

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
