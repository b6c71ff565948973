# SocketPoll: one epoll instance for all sockets that are read past the event loop.

# How long ready sockets are read between two turns of the loop.
cdef int64_t POLL_NS = 200000
# Events between two checks of the clock.
cdef int EVENTS_BETWEEN_LOOKS = 4


cdef class SocketPoll(LoopCall):
    """The sockets that are read past the event loop, which watches this one descriptor for all of them.

    Events are edge-triggered: after an event the socket is read until nothing is left, or the SocketReader remembers that there
    is more.
    """

    def __cinit__(self):
        self.descriptor = -1
        self.members = set()
        self.postponed = deque()

    cdef bint add(self, SocketReader reader) except -1:
        """Add a socket; False if the kernel has no room for another."""
        cdef epoll_event event
        if self.descriptor < 0 and not self._open():
            return False
        event.events = EPOLLIN | EPOLLRDHUP | EPOLLET
        event.data.ptr = <void*>reader
        if epoll_ctl(self.descriptor, EPOLL_CTL_ADD, reader.descriptor, &event) < 0:
            return False
        self.members.add(reader)
        return True

    cdef int forget(self, SocketReader reader) except -1:
        """Forget a socket that is about to be closed; closing removes it from the epoll instance."""
        cdef int index
        self.members.discard(reader)
        for index in range(self.at, self.count):
            if self.events[index].data.ptr == <void*>reader:
                self.events[index].data.ptr = NULL
        return 0

    cdef int read_later(self, SocketReader reader) except -1:
        """Read a socket again soon, because bytes were left in it."""
        self.postponed.append(reader)
        return self.call()

    def _work(self):
        """Read the sockets that are ready."""
        cdef int64_t until = monotonic_ns() + POLL_NS
        cdef int left = len(self.postponed)
        self.is_called = False
        while left > 0:
            left -= 1
            self._read(<SocketReader>self.postponed.popleft(), True)
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
                        self.call()
                    return

    cdef int _read_event(self, epoll_event* event) except -1:
        if event.data.ptr == NULL:
            return 0
        return self._read(<SocketReader>event.data.ptr, event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) != 0)

    cdef int _read(self, SocketReader reader, bint may_have_ended) except -1:
        try:
            reader.on_ready(may_have_ended)
        except Exception as error:
            reader.fail(error)
        return 0

    cdef bint _open(self) except -1:
        self.descriptor = epoll_create1(EPOLL_CLOEXEC)
        if self.descriptor < 0:
            return False
        self.loop.add_reader(self.descriptor, self._work)
        return True

    cdef int close(self) except -1:
        """Close the epoll instance, after all connections were aborted."""
        if self.descriptor >= 0:
            self.loop.remove_reader(self.descriptor)
            close(self.descriptor)
            self.descriptor = -1
        self.at = self.count = 0
        self.postponed.clear()
        return 0
