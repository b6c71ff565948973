# Inlet: the reading end of a connection, once it is worth a place of its own.
#
# The event loop's way from a readable socket to `data_received` is a read(2) through the virtual file system, two calls back, a
# context of variables and a method call. A connection that goes on beyond its first messages is read past the loop, as it is
# written past it (Outlet): its socket is in an epoll instance of the data plane, which the loop watches as one descriptor.
#
# The transport goes on owning the socket: it writes what the kernel did not take at once, and closes. It is told of nothing that
# is read here, so this is also where the peer's end, and an error, come from.

# Reads by the transport before that. Most connections of clients that come for one request never get so far.
cdef int READS_BY_TRANSPORT = 2
# Bytes that one recv(2) takes at most: as much as uvloop's read(2).
DEF RECEIVE_SIZE = 256000
# How long those who are ready are worked on between two turns of the loop, if they keep coming.
cdef int64_t POLL_NS = 200000
# Events between two looks at the clock.
cdef int EVENTS_BETWEEN_LOOKS = 4

# Where everything is received first: a process has one data plane at work at a time.
cdef char _received[RECEIVE_SIZE]


cdef class Inlet(Outlet):
    # --- asyncio.Protocol

    def data_received(self, bytes data):
        self.on_data(data)
        if not self.is_polled and self.is_direct:
            self.reads += 1
            if self.reads == READS_BY_TRANSPORT:
                self._read_past_transport()

    cdef object detach(self, object error):
        if self.is_polled:
            self.tripper.poll.forget(self)
        return Outlet.detach(self, error)

    cdef int on_data(self, bytes data) except -1:
        """Bytes of the peer."""
        raise AssertionError("an Inlet class defines on_data")

    # --- reading past the transport

    cdef int _read_past_transport(self) except -1:
        # What is there already is told of at once.
        self.is_polled = self.tripper.poll.add(self)
        if self.is_polled and not self.is_read_stopped:
            self.transport.pause_reading()
        return 0

    cdef int on_ready(self, bint may_have_ended) except -1:
        """There is something to read. Of what is left unread, nobody tells a second time."""
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
            # Less than there was room for is all there was; only an end does not show in the number.
            if received < RECEIVE_SIZE and not may_have_ended:
                return 0

    cdef int _on_nothing(self, Py_ssize_t received) except -1:
        if received == 0:
            self.is_ended = True
            if not self.eof_received():
                self.close_transport()
        elif errno != EAGAIN and errno != EINTR:
            self.fail(OSError(errno, os_strerror(errno)))
        return 0

    cdef int _apply(self) except -1:
        cdef bint is_stopped = self.is_read_paused or self.waits_for_turn
        if not self.is_polled:
            return Reader._apply(self)
        if is_stopped != self.is_read_stopped:
            self.is_read_stopped = is_stopped
            if not is_stopped and self.is_ready:
                self.is_ready = False
                self.tripper.poll.read_later(self)
        return 0


cdef class SocketPoll:
    """The sockets that are read past the event loop, which watches this one descriptor for all of them.

    Each arrival is told once (edge-triggered): then its socket is read until nothing is left, or the Inlet remembers that
    something is.
    """

    def __cinit__(self):
        self.descriptor = -1
        self.members = set()
        self.postponed = deque()

    cdef bint add(self, Inlet inlet) except -1:
        """False: the kernel has no room for another."""
        cdef epoll_event event
        if self.descriptor < 0 and not self._open():
            return False
        event.events = EPOLLIN | EPOLLRDHUP | EPOLLET
        event.data.ptr = <void*>inlet
        if epoll_ctl(self.descriptor, EPOLL_CTL_ADD, inlet.descriptor, &event) < 0:
            return False
        self.members.add(inlet)
        return True

    cdef int forget(self, Inlet inlet) except -1:
        """The socket is about to be closed, which takes it out of the kernel's list."""
        cdef int index
        self.members.discard(inlet)
        for index in range(self.at, self.count):
            if self.events[index].data.ptr == <void*>inlet:
                self.events[index].data.ptr = NULL
        return 0

    cdef int read_later(self, Inlet inlet) except -1:
        """Read on, in a moment, where something was left."""
        self.postponed.append(inlet)
        return self._call()

    cdef int _call(self) except -1:
        if not self.is_called:
            self.is_called = True
            self.loop.call_soon(self._work)
        return 0

    def _work(self):
        """Read the sockets that are ready."""
        cdef int64_t until = monotonic_ns() + POLL_NS
        cdef int left = len(self.postponed)
        self.is_called = False
        while left > 0:
            left -= 1
            self._read(<Inlet>self.postponed.popleft(), True)
        while True:
            if self.at == self.count:
                self.at = 0
                self.count = max(0, epoll_wait(self.descriptor, self.events, POLLED_AT_ONCE, 0))
                if self.count == 0:
                    return
            while self.at < self.count:
                self.at += 1
                self._read_event(&self.events[self.at - 1])
                if self.at % EVENTS_BETWEEN_LOOKS == 0 and monotonic_ns() > until:
                    if self.at < self.count:
                        self._call()
                    return

    cdef int _read_event(self, epoll_event* event) except -1:
        if event.data.ptr == NULL:
            return 0
        return self._read(<Inlet>event.data.ptr, event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) != 0)

    cdef int _read(self, Inlet inlet, bint may_have_ended) except -1:
        try:
            inlet.on_ready(may_have_ended)
        except Exception as error:
            inlet.fail(error)
        return 0

    cdef bint _open(self) except -1:
        self.descriptor = epoll_create1(EPOLL_CLOEXEC)
        if self.descriptor < 0:
            return False
        self.loop.add_reader(self.descriptor, self._work)
        return True

    cdef int close(self) except -1:
        """All of its connections have been cut off."""
        if self.descriptor >= 0:
            self.loop.remove_reader(self.descriptor)
            close(self.descriptor)
            self.descriptor = -1
        self.at = self.count = 0
        self.postponed.clear()
        return 0
