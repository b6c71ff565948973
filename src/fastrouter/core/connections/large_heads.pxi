# LargeHeads: the memory of one worker that request heads beyond an ordinary size may take together (ADR 23).
#
# A head counts from the moment it is large, whether it is complete or not, until its exchange is over. When there is no room for
# another, the one that has been coming for longest makes way, if that has been long: whoever sends a head in earnest sends it at
# once. If nobody makes way, the newcomer is refused.

@cython.final
@cython.no_gc
cdef class LargeHead:
    """The room that one head has. It is free again when nobody refers to this."""

    def __cinit__(self, LargeHeads heads):
        self.heads = heads

    def __dealloc__(self):
        self.heads.held[0] -= self.size

    cdef bint resize(self, Py_ssize_t size, AcceptedConnection connection) except -1:
        """Take room for `size` bytes, of a head of `connection`. False: there is none."""
        cdef LargeHeads heads = self.heads
        heads.held[0] += size - self.size
        self.size = size
        while heads.held[0] > heads.limit > 0:
            if not heads.cut_oldest(connection):
                return False
        return True


@cython.final
cdef class LargeHeads:
    def __cinit__(self, Settings settings, Stats shared):
        self.shared = shared
        self.held = &shared.counters[COUNTER_LARGE_HEADER_BYTES]
        self.patience_ns = <int64_t>(settings.large_head_patience * 1e9)
        # A single one finds room in any case, also in HTTP/2.
        self.limit = (
            max(settings.max_large_heads, settings.max_received_head + HEADER_LIST_SLOP) if settings.max_large_heads else 0
        )
        self.coming = {}

    cdef bint admit(self, AcceptedConnection connection, Py_ssize_t size) except -1:
        """A head of `connection` that is not complete has become `size` bytes large. False: there is no room for it."""
        cdef LargeHead head = connection.large_head
        if head is None:
            head = connection.large_head = LargeHead(self)
            self.coming[connection] = monotonic_ns()
        return head.resize(size, connection)

    cdef LargeHead complete(self, AcceptedConnection connection, Py_ssize_t size):
        """A head of `connection` is complete, and has `size` bytes. Returns its room; None: there is none."""
        cdef LargeHead head = connection.large_head
        self.leave(connection)
        if head is None:
            head = LargeHead(self)
        return head if head.resize(size, connection) else None

    cdef int leave(self, AcceptedConnection connection) except -1:
        """No large head of `connection` is coming any more."""
        if connection.large_head is not None:
            connection.large_head = None
            del self.coming[connection]
        return 0

    cdef bint cut_oldest(self, AcceptedConnection newcomer) except -1:
        """Refuse the head that has been coming for longest, for the sake of another. False: nobody has to make way."""
        cdef AcceptedConnection connection
        for connection, begun_ns in self.coming.items():
            if connection is newcomer or monotonic_ns() - <int64_t>begun_ns < self.patience_ns:
                return False
            self.leave(connection)
            try:
                connection.refuse_large_head()
            except Exception as error:
                # That is no fault of the newcomer's.
                connection.on_panic(error)
            return True
        return False
