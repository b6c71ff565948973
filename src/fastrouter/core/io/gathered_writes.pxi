# GatheredWrites: connections that carry several exchanges write once for all of them.
#
# What the exchanges of a connection have to say in one turn of the loop comes from as many backends. It is written when all of
# them have spoken.

cdef class GatheredWrites:
    def __cinit__(self):
        self.waiting = []

    cdef int add(self, SocketWriter writer) except -1:
        """Have `writer` write what it has gathered, before the sockets are looked at again."""
        self.waiting.append(writer)
        if not self.is_called:
            self.is_called = True
            self.loop.call_soon(self._write)
        return 0

    def _write(self):
        cdef SocketWriter writer
        cdef list writers = self.waiting
        self.waiting = []
        self.is_called = False
        for writer in writers:
            try:
                writer.write_gathered()
            except Exception as error:
                writer.on_panic(error)

    cdef int clear(self) except -1:
        self.waiting.clear()
        return 0
