# ConnectionPool: the idle connections of one backend identity.

cdef class ConnectionPool:
    """Last in, first out: the connection used last is the least likely to have been given up by the backend."""

    def __cinit__(self):
        self.idle = []

    def __len__(self):
        return len(self.idle)

    cdef BackendConnection acquire(self):
        """The freshest idle connection, or None: dial."""
        cdef BackendConnection connection
        if PyList_GET_SIZE(self.idle) == 0:
            return None
        connection = <BackendConnection>self.idle.pop()
        connection.disarm()
        return connection

    cdef int release(self, BackendConnection connection, Settings settings, DeadlineQueue idle_queue) except -1:
        """Take back a connection whose exchange ended cleanly; beyond the limit it is closed."""
        if PyList_GET_SIZE(self.idle) >= settings.max_idle_per_endpoint:
            connection.close()
            return 0
        self.idle.append(connection)
        connection.arm(idle_queue)
        return 0

    cdef int evict(self, BackendConnection connection) except -1:
        """Forget an idle connection that ended or waited too long."""
        if connection in self.idle:
            self.idle.remove(connection)
        return 0

    cdef list drain(self):
        """All idle connections, which are the caller's to close."""
        cdef list idle = self.idle
        self.idle = []
        return idle
