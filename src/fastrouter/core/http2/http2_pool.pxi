# HTTP2ConnectionPool: the connections of one endpoint that is spoken to in HTTP/2, as long as it wants that.

cdef class HTTP2ConnectionPool(ConnectionPool):
    """One connection carries all, further ones what it has no room for. In `idle` are the connections of HTTP/1 there are, too:
    for upgrades, which HTTP/2 does not know, and for endpoints that agree on HTTP/1.1 after all."""

    def __cinit__(self):
        self.shared = []

    def __repr__(self):
        return f"<HTTP2ConnectionPool of {len(self.shared)} shared, {len(self)} idle>"

    cdef BackendSide acquire(self, Request request):
        cdef HTTP2BackendConnection connection
        cdef Py_ssize_t i
        if not needs_http1(request):
            for i in range(PyList_GET_SIZE(self.shared)):
                connection = <HTTP2BackendConnection>PyList_GET_ITEM(self.shared, i)
                if connection.has_room():
                    return HTTP2BackendSide(connection)
        return ConnectionPool.acquire(self, request)

    cdef BackendSide new(self, DataPlane plane, Endpoint endpoint, Request request):
        cdef HTTP2BackendConnection connection
        if needs_http1(request):
            return ConnectionPool.new(self, plane, endpoint, request)
        connection = HTTP2BackendConnection(plane, endpoint)
        self.shared.append(connection)
        return HTTP2BackendSide(connection)

    cdef Py_ssize_t count_idle(self) except -1:
        """How many connections nobody is served on."""
        cdef HTTP2BackendConnection connection
        cdef Py_ssize_t count = len(self)
        for connection in self.shared:
            count += connection.is_idle
        return count

    cdef int forget(self, HTTP2BackendConnection connection) except -1:
        """It takes no further streams."""
        if connection in self.shared:
            self.shared.remove(connection)
        return 0


cdef bint needs_http1(Request request) noexcept:
    """Whether it is one that HTTP/2 has no words for: an upgrade of its connection, or a tunnel to somewhere else."""
    return request.wants_upgrade or is_word(PyBytes_AS_STRING(request.head), request.method, b"CONNECT")
