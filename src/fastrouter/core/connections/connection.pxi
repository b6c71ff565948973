# Connection: what a connection to a client and one to a backend have in common.

cdef class Connection(SocketReader):
    # --- asyncio.Protocol

    def connection_made(self, transport):
        self.transport = transport
        try:
            self.on_connection()
        except Exception as error:
            self.on_panic(error)

    def pause_writing(self):
        self.is_write_paused = True
        try:
            self.on_full()
            self.watch_stall()
        except Exception as error:
            self.on_panic(error)

    def resume_writing(self):
        self.is_write_paused = False
        try:
            self.unwatch_stall()
            if self.tunnel is not None:
                self.tunnel.watch_silence()
            self.on_room()
        except Exception as error:
            self.on_panic(error)

    cdef int on_connection(self) except -1:
        """`transport` is connected."""
        raise AssertionError("a Connection class defines on_connection")

    cdef int on_full(self) except -1:
        """The peer takes what is written more slowly than it comes: stop reading the other side."""
        raise AssertionError("a Connection class defines on_full")

    cdef int on_room(self) except -1:
        """More may be written again."""
        raise AssertionError("a Connection class defines on_room")

    cdef int drop_validator(self) except -1:
        """Discard the validator: the message that it reads breaks off, or there is none."""
        if self.validator is not None:
            self.validator.discard()
            self.validator = None
        return 0

    # --- back-pressure

    cdef int watch_stall(self) except -1:
        """Limit the wait for a peer that takes nothing of what was written, where nothing else limits it.

        Most exchanges have a deadline. A tunnel has none, nor has a request that wanted to become one.
        """
        if not self.is_write_paused or self.queue is not None or self.transport is None:
            return 0
        if self.exchange is not None and self.exchange.queue is None:
            self.unwritten = self.count_unwritten()
            self.arm(self.plane.stalls)
        return 0

    cdef int unwatch_stall(self) except -1:
        if self.queue is self.plane.stalls:
            self.disarm()
        return 0

    cdef bint is_stalled(self) except -1:
        """At the end of that wait: whether the peer has taken nothing at all. If it has, the wait begins anew."""
        if self.count_unwritten() >= self.unwritten:
            return True
        self.watch_stall()
        return False

    cdef Py_ssize_t count_unwritten(self) except -1:
        """Bytes that are written and not with the kernel yet."""
        return self.transport.get_write_buffer_size()
