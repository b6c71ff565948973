# RouteCounters: what each route has been asked for, in memory that all processes of the router share (ADR 19).
#
#   head | per block: head, entries by slot, cells by slot
#
# A block belongs to one worker, which alone writes it, without locks. A route has a slot, which the control process gives out;
# the entry of a slot says whose it is. A worker that gets a slot for a route whose name is not there zeroes it: so counts survive
# whoever has counted them, and a slot that another route has had begins anew. A reader adds up the blocks where the slot is its
# route's.

cdef extern from *:
    """
    #define publish_u64(where, what) __atomic_store_n(where, what, __ATOMIC_RELEASE)
    #define observe_u64(where) __atomic_load_n(where, __ATOMIC_ACQUIRE)
    #define leading_zeros(what) __builtin_clzll(what)
    """
    void publish_u64(uint64_t* where, uint64_t what) noexcept nogil
    uint64_t observe_u64(uint64_t* where) noexcept nogil
    int leading_zeros(uint64_t what) noexcept nogil

# "FRROUTES", and the version of the layout: a mapping of another one is not used.
cdef uint64_t ROUTES_MAGIC = 0x4652524F55544553
cdef uint64_t ROUTES_LAYOUT = 1


cdef class RouteCounters:
    def __init__(self, memory, int blocks, int slots, int block=-1):
        cdef RoutesHead* head
        if blocks < 1 or slots < 1 or not -1 <= block < blocks:
            raise ValueError(f"there is no block {block} of {blocks} with {slots} slots")
        self.view = memory
        if len(self.view) < RouteCounters.size(blocks, slots):
            raise ValueError(f"memory must have {RouteCounters.size(blocks, slots)} bytes, not {len(self.view)}")
        self.base = <char*>&self.view[0]
        head = <RoutesHead*>self.base
        if head.magic == 0:
            head.magic = ROUTES_MAGIC
            head.layout = ROUTES_LAYOUT
            head.blocks = blocks
            head.slots = slots
        if head.magic != ROUTES_MAGIC or head.layout != ROUTES_LAYOUT or (
            head.blocks != <uint64_t>blocks or head.slots != <uint64_t>slots
        ):
            raise ValueError("memory has another layout")
        self.blocks = blocks
        self.slots = slots
        self.block = block
        if block >= 0:
            self.own = self.head_of(block)
            self.entries = self.entries_of(block)
            self.cells = self.cells_of(block)

    @staticmethod
    def size(int blocks, int slots):
        """Bytes of the mapping. Pages that were never written take no memory."""
        return sizeof(RoutesHead) + blocks * route_block_size(slots)

    cdef RouteBlock* head_of(self, int block) noexcept nogil:
        return <RouteBlock*>(self.base + sizeof(RoutesHead) + block * route_block_size(self.slots))

    cdef RouteCell* cells_of(self, int block) noexcept nogil:
        return <RouteCell*>(self.head_of(block) + 1)

    cdef RouteEntry* entries_of(self, int block) noexcept nogil:
        return <RouteEntry*>(self.cells_of(block) + self.slots)

    # --- the worker

    def begin(self):
        """Count in the own block from now on: what a worker before had in flight is over."""
        cdef Py_ssize_t slot
        for slot in range(<Py_ssize_t>self.own.used):
            self.entries[slot].in_flight = 0
        publish_u64(&self.own.is_live, 1)

    cdef int claim(self, int slot, bytes key) except -1:
        """The slot is that of the route `key` from now on; nothing of it is in flight here."""
        cdef uint64_t owner = owner_of(key)
        cdef RouteEntry* entry
        if not 0 < slot < self.slots:
            raise ValueError(f"slot must be 1..{self.slots - 1}, not {slot}")
        entry = &self.entries[slot]
        entry.in_flight = 0
        if entry.owner != owner:
            # Readers let go of the slot before it is zeroed, and have it again behind that.
            publish_u64(&entry.owner, 0)
            if entry.is_used:
                entry.is_used = 0
                memset(&self.cells[slot], 0, sizeof(RouteCell))
            publish_u64(&entry.owner, owner)
        if <uint64_t>slot >= self.own.used:
            publish_u64(&self.own.used, <uint64_t>slot + 1)
        return 0

    cdef inline void enter(self, int slot) noexcept:
        """A request of the route is under way."""
        self.entries[slot].in_flight += 1

    cdef inline void leave(self, int slot) noexcept:
        self.entries[slot].in_flight -= 1

    cdef void count(self, int slot, int group, int retries, int64_t latency_ns, bint is_broken_off) noexcept:
        """A request of the route is over; `group` is that of its status, `latency_ns` negative for one that has none."""
        cdef RouteCell* cell = &self.cells[slot]
        self.entries[slot].is_used = 1
        cell.sums[group] += 1
        cell.sums[ROUTE_RETRIES] += retries
        cell.sums[ROUTE_BROKEN_OFF] += is_broken_off
        if latency_ns >= 0:
            cell.sums[ROUTE_LATENCY_NS] += latency_ns
            cell.latencies[latency_bucket(latency_ns)] += 1

    # --- the control process

    def end(self, int block):
        """Say that the worker of `block` has ended: what it had in flight does not count any more."""
        self._check(block)
        publish_u64(&self.head_of(block).is_live, 0)

    def owners(self, int first, int last):
        """(slot, owner) of the slots that the blocks from `first` to before `last` know, each once."""
        cdef RouteEntry* entries
        cdef Py_ssize_t slot
        cdef int block
        cdef dict owners = {}
        for block in range(first, last):
            self._check(block)
            entries = self.entries_of(block)
            for slot in range(<Py_ssize_t>min(self.head_of(block).used, <uint64_t>self.slots)):
                if entries[slot].owner:
                    owners.setdefault(slot, entries[slot].owner)
        return list(owners.items())

    cdef int _check(self, int block) except -1:
        if not 0 <= block < self.blocks:
            raise ValueError(f"block must be 0..{self.blocks - 1}, not {block}")
        return 0


cdef inline Py_ssize_t route_block_size(int slots) noexcept nogil:
    return <Py_ssize_t>(sizeof(RouteBlock) + (sizeof(RouteEntry) + sizeof(RouteCell)) * <size_t>slots)


def route_owner(str uri not None):
    """Whose a slot of RouteCounters is that the route `uri` has: a hash of its key."""
    return owner_of(_key_bytes(uri))


@cython.overflowcheck(False)
cdef uint64_t owner_of(bytes key) noexcept:
    """FNV-1a of 64 bits, which is the same in every process; 0 is nobody."""
    cdef const unsigned char* text = <const unsigned char*>PyBytes_AS_STRING(key)
    cdef uint64_t owner = 0xCBF29CE484222325
    cdef uint64_t prime = 0x100000001B3
    cdef Py_ssize_t i
    for i in range(PyBytes_GET_SIZE(key)):
        owner = (owner ^ text[i]) * prime
    return owner if owner else 1


cdef inline int latency_bucket(int64_t latency_ns) noexcept nogil:
    """0 for what takes less than 2^19 ns, 0.52 ms, one more for each doubling; the last is without an end."""
    cdef uint64_t units = <uint64_t>latency_ns >> ROUTE_FIRST_BOUND
    return 0 if units == 0 else min(64 - leading_zeros(units), ROUTE_BUCKETS - 1)
