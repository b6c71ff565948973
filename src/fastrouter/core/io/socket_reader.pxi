# SocketReader: the reading end of a connection, past the event loop after its first reads (ADR 9).
#
# The event loop's way from a readable socket to `data_received` is a read(2) through the virtual file system, two callbacks, a
# context of variables and a method call. A connection that lives on after its first messages is read past the loop, as it is
# written past it (SocketWriter): its socket is in an epoll instance of the data plane, which the loop watches as one descriptor.
#
# The transport still owns the socket: it writes what the kernel does not take at once, and closes. It does not see what is read
# here, so the peer's end and errors are reported from here, too.

# Reads by the transport before that. Most connections with a single request end earlier.
cdef int READS_BY_TRANSPORT = 2
# Bytes that one recv(2) takes at most: as much as uvloop's read(2).
DEF RECEIVE_SIZE = 256000
# The buffer of all reads: one is enough, because a process has one data plane that works at a time.
cdef char _received[RECEIVE_SIZE]


cdef class SocketReader(SocketWriter):
    # --- asyncio.Protocol

    def data_received(self, bytes data):
        self.on_data(data)
        if not self.is_polled and self.is_direct:
            self.reads += 1
            if self.reads == READS_BY_TRANSPORT:
                self._read_past_transport()

    cdef object detach(self, object error):
        if self.is_polled:
            self.plane.poll.forget(self)
        return SocketWriter.detach(self, error)

    cdef int on_data(self, bytes data) except -1:
        """Handle bytes of the peer."""
        raise AssertionError("a SocketReader class defines on_data")

    # --- reading past the transport

    cdef int _read_past_transport(self) except -1:
        # If bytes are there already, an event comes at once.
        self.is_polled = self.plane.poll.add(self)
        if self.is_polled and not self.is_read_stopped:
            self.transport.pause_reading()
        return 0

    cdef int on_ready(self, bint may_have_ended) except -1:
        """Read the socket. No second event comes for bytes that are left unread."""
        cdef Py_ssize_t received
        while True:
            if not self.is_direct or self.is_ended:
                return 0
            if self.is_read_stopped:
                self.is_ready = True
                return 0
            received = recv(self.descriptor, _received, RECEIVE_SIZE, MSG_DONTWAIT)
            if received <= 0:
                return self._on_nothing(received)
            self.on_data(PyBytes_FromStringAndSize(_received, received))
            # A read that does not fill the buffer has read everything, but it does not show whether the peer has ended.
            if received < RECEIVE_SIZE and not may_have_ended:
                return 0

    cdef int _on_nothing(self, Py_ssize_t received) except -1:
        if received == 0:
            self.is_ended = True
            if not self.eof_received():
                self.close_transport()
        elif errno == EINTR:
            # Nothing was read, and no other event comes for what is there.
            self.plane.poll.read_later(self)
        elif errno != EAGAIN:
            self.fail(OSError(errno, os_strerror(errno)))
        return 0

    cdef int _apply(self) except -1:
        cdef bint is_stopped = self.is_read_paused or self.waits_for_turn
        if not self.is_polled:
            return FairReader._apply(self)
        if is_stopped != self.is_read_stopped:
            self.is_read_stopped = is_stopped
            if not is_stopped and self.is_ready:
                self.is_ready = False
                self.plane.poll.read_later(self)
        return 0
