# SocketWriter: the writing end of a connection.
#
# While nothing waits in the transport, bytes go to the TCP socket with one send(2), past the event loop, which would need two
# calls from Python, a list and a trip through the virtual file system for the same (docs/performance.md). What the kernel does
# not take at once, and everything else, is the transport's business.
#
# A transport closes its socket right after it has called `connection_lost`, never before; so the descriptor is this connection's
# until then, and `detach` must be called there.

cdef class SocketWriter(FairReader):
    def __cinit__(self, *_):
        self.descriptor = -1

    cdef int attach(self, object tcp) except -1:
        """`tcp`: the TCP transport if it is known. Writes go straight to its socket if there is nothing in front of it."""
        cdef object socket = None if tcp is None else tcp.get_extra_info("socket")
        if socket is not None:
            self.descriptor = socket.fileno()
            self.is_direct = self.transport is tcp
        return 0

    cdef object detach(self, object error):
        """The connection is lost. Returns what it was lost to: `error`, or what a write of ours has met; None for a plain end."""
        self.transport = None
        self.descriptor = -1
        self.is_direct = False
        return self.error if error is None else error

    cdef int write_out(self, object data) except -1:
        """Write bytes, or a memoryview of some, behind whatever waits."""
        cdef Py_ssize_t sent = 0
        if self.is_direct and type(data) is bytes:
            sent = self._write_now(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            if sent == PyBytes_GET_SIZE(data):
                return 0
        return self._leave_to_transport(data if sent == 0 else memoryview(data)[sent:])

    cdef int write_rendered(self, const char* end) except -1:
        """Write what stands in the scratch buffer up to `end`; only what the kernel does not take becomes an object."""
        cdef Py_ssize_t size = scratch_length(end)
        cdef Py_ssize_t sent = 0
        if self.is_direct:
            sent = self._write_now(_scratch, size)
            if sent == size:
                return 0
        return self._leave_to_transport(PyBytes_FromStringAndSize(_scratch + sent, size - sent))

    cdef int write_parts(self, list parts) except -1:
        """Write pieces without copying them together."""
        self.may_wait = True
        self.transport.writelines(parts)
        return 0

    cdef int _leave_to_transport(self, object data) except -1:
        self.may_wait = True
        self.transport.write(data)
        return 0

    cdef Py_ssize_t _write_now(self, const char* data, Py_ssize_t size) except -1:
        """Returns how much has gone out: 0 where something waits in front. All of it is as good as gone with the connection."""
        cdef Py_ssize_t sent
        if self.may_wait:
            self.may_wait = self.transport.get_write_buffer_size() > 0
            if self.may_wait:
                return 0
        sent = send(self.descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0:
            return sent
        if errno == EAGAIN or errno == EINTR:
            return 0
        # The transport would find another error than the first.
        self.fail(OSError(errno, os_strerror(errno)))
        return size

    cdef int fail(self, object error) except -1:
        """End the connection with `error`, which comes out of `connection_lost`."""
        self.error = error
        return self.abort_transport()

    cdef int close_transport(self) except -1:
        """Close when everything written is out. Nothing is read any more, as nothing is by the transport."""
        self.is_direct = False
        self.transport.close()
        return 0

    cdef int abort_transport(self) except -1:
        self.is_direct = False
        self.transport.abort()
        return 0
