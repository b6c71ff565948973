# MaglevTable: slots, each of which leads to an endpoint; most lead to the same one when others come and go (spec 9.1).
#
# Maglev is described in section 3.4 of "Maglev: A Fast and Reliable Software Network Load Balancer" (Eisenbud et al., 2016).

@cython.final
@cython.no_gc
cdef class MaglevTable:
    # Not tracked by the collector, like EndpointPool.

    def __init__(self, endpoints):
        """An empty table of these endpoints: each identity counts once, and no more of them than there are slots."""
        cdef dict by_identity = {}
        cdef Endpoint endpoint
        cdef uint64_t hash
        cdef Py_ssize_t i, size
        cdef const char* text
        for endpoint in endpoints:
            by_identity[endpoint.hash_identity()] = endpoint
        # Texts, which Python compares faster than bytes.
        names = sorted(by_identity)[:MAGLEV_SLOTS]
        self.members = [by_identity[name] for name in names]
        self.count = <int>PyList_GET_SIZE(self.members)
        free(self.turns)
        self.turns = <MaglevTurn*>calloc(max(self.count, 1), sizeof(MaglevTurn))
        if self.turns == NULL:
            raise MemoryError()
        for i in range(self.count):
            text = PyUnicode_AsUTF8AndSize(names[i], &size)
            hash = fnv1a(text, size)
            self.turns[i].at = <unsigned short>(hash % MAGLEV_SLOTS)
            self.turns[i].step = <unsigned short>(hash % (MAGLEV_SLOTS - 1) + 1)
        for i in range(MAGLEV_SLOTS):
            self.slots[i] = MAGLEV_FREE

    def __dealloc__(self):
        free(self.turns)
        free(self.counts)

    cpdef bint fill(self, int looks=LOOKS_AT_ONCE) except -1:
        """Go on giving slots to endpoints, with so many looks at slots at most; True as soon as none is free.

        The endpoints take turns. Each takes the next free slot of its own order, in which every slot comes once.
        """
        cdef MaglevTurn* turn
        if self.count == 0:
            return True
        while self.filled < MAGLEV_SLOTS:
            turn = &self.turns[self.next]
            while self.slots[turn.at] != MAGLEV_FREE:
                if looks <= 0:
                    return False
                looks -= 1
                turn.at = next_in_turn(turn)
            self.slots[turn.at] = <unsigned short>self.next
            turn.at = next_in_turn(turn)
            self.filled += 1
            self.next += 1
            if self.next == self.count:
                self.next = 0
        return True

    def owners(self):
        """The endpoints that the slots lead to, in the order of the slots; None for a free one."""
        cdef int i
        return [None if self.slots[i] == MAGLEV_FREE else self.members[self.slots[i]] for i in range(MAGLEV_SLOTS)]

    cdef int64_t in_flight(self, int index) except -1:
        """Requests in flight at all endpoints together.

        The endpoint at `index` is asked now. Of many endpoints the others are asked in turn, so that a selection takes no
        longer than with some.
        """
        cdef int i
        cdef int looks = min(self.count, COUNTS_AT_ONCE)
        if self.counts == NULL:
            self.counts = <int*>calloc(self.count, sizeof(int))
            if self.counts == NULL:
                raise MemoryError()
            looks = self.count
        self._count(index)
        for i in range(looks):
            self._count(self.counted)
            self.counted += 1
            if self.counted == self.count:
                self.counted = 0
        return self.total

    cdef inline void _count(self, int index) noexcept:
        cdef int now = (<Endpoint>PyList_GET_ITEM(self.members, index)).total_in_flight[0]
        self.total += now - self.counts[index]
        self.counts[index] = now


cdef inline unsigned short next_in_turn(MaglevTurn* turn) noexcept:
    """The slot that an endpoint wants if it does not get the one at which it is."""
    cdef int at = turn.at + turn.step
    return <unsigned short>(at - MAGLEV_SLOTS if at >= MAGLEV_SLOTS else at)


@cython.overflowcheck(False)
cdef uint64_t fnv1a(const char* text, Py_ssize_t length) noexcept nogil:
    """FNV-1a of 64 bits."""
    cdef uint64_t hash = 14695981039346656037U
    cdef Py_ssize_t i
    for i in range(length):
        hash = (hash ^ <unsigned char>text[i]) * <uint64_t>1099511628211U
    return hash
