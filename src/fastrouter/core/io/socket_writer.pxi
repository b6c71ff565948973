# SocketWriter: the writing end of a connection.
#
# While nothing waits in the transport, bytes go to the TCP socket with one send(2), past the event loop, which would need two
# Python calls, a list and a write(2) through the virtual file system (ADR 6). The transport does everything else, and writes what
# the kernel does not take at once.
#
# A transport closes its socket right after it has called `connection_lost`, never before; so the descriptor is this connection's
# until then, and `detach` must be called there.

cdef class SocketWriter(FairReader):
    def __cinit__(self, *_):
        self.descriptor = -1

    cdef int attach(self, object tcp) except -1:
        """Attach to `tcp`, the TCP transport or None. Bytes go straight to its socket if nothing waits in front of them."""
        cdef object socket = None if tcp is None else tcp.get_extra_info("socket")
        if socket is not None:
            self.descriptor = socket.fileno()
            self.is_direct = self.transport is tcp
        return 0

    cdef object detach(self, object error):
        """Forget the socket of a lost connection. Returns `error`, or else that of one of our writes; None for a plain end."""
        self.transport = None
        self.descriptor = -1
        self.is_direct = False
        return self.error if error is None else error

    cdef int write_out(self, object data) except -1:
        """Write bytes or a memoryview, behind what waits."""
        cdef Py_ssize_t sent = 0
        if self.is_direct and type(data) is bytes:
            sent = self._write_now(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            if sent == PyBytes_GET_SIZE(data):
                return 0
        return self._leave_to_transport(data if sent == 0 else memoryview(data)[sent:])

    cdef int write_rendered(self) except -1:
        """End the message under construction and write it; only what the kernel does not take becomes an object."""
        cdef Py_ssize_t size = end_message()
        cdef Py_ssize_t sent = 0
        if self.is_direct:
            sent = self._write_now(_message, size)
            if sent == size:
                return 0
        return self._leave_to_transport(PyBytes_FromStringAndSize(_message + sent, size - sent))

    cdef int write_parts(self, list parts) except -1:
        """Write pieces without copying them together."""
        self.may_wait = True
        self.transport.writelines(parts)
        return self._count_pieces(PyList_GET_SIZE(parts))

    cdef int write_soon(self) except -1:
        """There is something to write: behind the work on what was received, or else when all sockets are read."""
        if not self.is_working and not self.is_write_due:
            self.is_write_due = True
            self.plane.gathered.add(self)
        return 0

    cdef int write_gathered(self) except -1:
        """Write what has been gathered in this turn of the loop (GatheredWrites)."""
        raise AssertionError("a SocketWriter class that gathers defines write_gathered")

    cdef int _leave_to_transport(self, object data) except -1:
        self.may_wait = True
        self.transport.write(data)
        return self._count_pieces(1)

    cdef int _count_pieces(self, Py_ssize_t count) except -1:
        """The transport knows how many bytes wait in it, and asks for a pause when they are many. So do too many pieces."""
        if self.is_direct and self.pieces < PIECES_MAX:
            self.pieces += <int>min(count, <Py_ssize_t>PIECES_MAX)
            if self.pieces >= PIECES_MAX:
                self.transport.set_write_buffer_limits(0)
        return 0

    cdef Py_ssize_t _write_now(self, const char* data, Py_ssize_t size) except -1:
        """Returns how many bytes the kernel has taken: 0 if others wait in front, all of them if the connection has failed."""
        cdef Py_ssize_t sent
        if self.may_wait:
            self.may_wait = self.transport.get_write_buffer_size() > 0
            if self.may_wait:
                return 0
            if self.pieces >= PIECES_MAX:
                self.transport.set_write_buffer_limits()
            self.pieces = 0
        sent = send(self.descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0:
            return sent
        if errno == EAGAIN or errno == EINTR:
            return 0
        # The first error is kept; a later write by the transport would fail with another one.
        self.fail(OSError(errno, os_strerror(errno)))
        return size

    cdef int fail(self, object error) except -1:
        """End the connection with `error`, which comes out of `connection_lost`."""
        self.error = error
        return self.abort_transport()

    cdef int close_transport(self) except -1:
        """Close when everything is written. Nothing is read any more."""
        self.is_direct = False
        self.transport.close()
        return 0

    cdef int abort_transport(self) except -1:
        self.is_direct = False
        self.transport.abort()
        return 0
