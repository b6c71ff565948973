# RouteSnapshot: the counters of all routes at one moment, added up over the workers; two of them make a window.

cdef tuple ROUTE_ORDERS = ("requests", "errors", "p99", "inflight")


cdef class RouteSnapshot:
    """What `counters` says now. Made and compared without the GIL: 100,000 routes take tens of milliseconds."""

    def __init__(self, RouteCounters counters not None):
        cdef int block
        cdef bint is_taken
        if self.owners != NULL:
            raise RuntimeError("a snapshot is of one moment")
        with nogil:
            for block in range(counters.blocks):
                self.count = max(
                    self.count, <Py_ssize_t>min(observe_u64(&counters.head_of(block).used), <uint64_t>counters.slots)
                )
            is_taken = self.take(counters)
        if not is_taken:
            raise MemoryError
        self.at_ns = monotonic_ns()

    cdef bint take(self, RouteCounters counters) noexcept nogil:
        """Add all slots up; False if there is no memory for it."""
        cdef Py_ssize_t slot
        cdef Py_ssize_t used = 0
        cdef Py_ssize_t room = 0
        cdef RouteRow row
        cdef void* grown
        self.owners = <uint64_t*>malloc(max(self.count, 1) * sizeof(uint64_t))
        self.places = <int32_t*>malloc(max(self.count, 1) * sizeof(int32_t))
        if self.owners == NULL or self.places == NULL:
            return False
        for slot in range(self.count):
            memset(&row, 0, sizeof(RouteRow))
            add_up(counters, slot, 0, &row)
            self.owners[slot] = row.owner
            self.places[slot] = -1
            if not has_counts(&row):
                continue
            if used == room:
                room = max(64, room + room // 2)
                grown = realloc(self.rows, room * sizeof(RouteRow))
                if grown == NULL:
                    return False
                self.rows = <RouteRow*>grown
            self.rows[used] = row
            self.places[slot] = <int32_t>used
            used += 1
        return True

    def __dealloc__(self):
        free(self.owners)
        free(self.places)
        free(self.rows)

    def __len__(self):
        return self.count

    def read(self, int slot, uint64_t owner=0, RouteSnapshot earlier=None):
        """(owner, in flight, seconds, sums, latencies) of a slot since `earlier`, else since ever; None if it is not `owner`'s.

        `sums` are responses 2xx to 5xx and others, retries, broken responses and latency in ns; `latencies` count responses that
        took less than 2^19 ns, 2^20 and so on, the last one those beyond.
        """
        cdef RouteRow row
        cdef int i
        if not 0 <= slot < self.count or self.owners[slot] == 0 or owner not in (0, self.owners[slot]):
            return None
        self.subtract(slot, earlier, &row)
        return (
            row.owner, row.in_flight, self.seconds_since(earlier), [row.cell.sums[i] for i in range(ROUTE_SUMS)],
            [row.cell.latencies[i] for i in range(ROUTE_BUCKETS)],
        )

    def top(self, str by, int limit, RouteSnapshot earlier=None, bytes among=None):
        """The slots of at most `limit` routes with the most of `by` since `earlier`, the most first, and how many have any of it.

        `by` is requests, errors (5xx and broken responses), p99 or inflight. `among` has a byte for each slot, which is not 0 if
        the slot is wanted; None: all are.
        """
        cdef int order = ROUTE_ORDERS.index(_one_of("by", by, ROUTE_ORDERS))
        cdef RouteRank* ranks
        cdef Py_ssize_t slot
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t last = self.count if among is None else min(self.count, PyBytes_GET_SIZE(among))
        cdef const char* wanted = NULL if among is None else PyBytes_AS_STRING(among)
        cdef double weight
        cdef RouteRow row
        if not 0 < limit <= 1000:
            raise ValueError(f"limit must be 1..1000, not {limit}")
        ranks = <RouteRank*>malloc(limit * sizeof(RouteRank))
        if ranks == NULL:
            raise MemoryError
        try:
            with nogil:
                for slot in range(last):
                    if self.places[slot] >= 0 and (wanted == NULL or wanted[slot]):
                        self.subtract(slot, earlier, &row)
                        weight = weight_of(&row, order)
                        if weight > 0:
                            total += 1
                            count = rank_route(ranks, count, limit, slot, weight)
            return [ranks[slot].slot for slot in range(count)], total
        finally:
            free(ranks)

    def seconds_since(self, RouteSnapshot earlier=None):
        """Seconds between `earlier` and this; 0 without it."""
        return 0.0 if earlier is None else (self.at_ns - earlier.at_ns) / 1e9

    @cython.overflowcheck(False)
    cdef void subtract(self, Py_ssize_t slot, RouteSnapshot earlier, RouteRow* into) noexcept nogil:
        """What a slot has counted since `earlier`; all of it if the slot was another route's then."""
        cdef RouteCell* before
        cdef int i
        if self.places[slot] < 0:
            memset(into, 0, sizeof(RouteRow))
            into.owner = self.owners[slot]
            return
        into[0] = self.rows[self.places[slot]]
        if earlier is None or slot >= earlier.count or earlier.owners[slot] != into.owner or earlier.places[slot] < 0:
            return
        before = &earlier.rows[earlier.places[slot]].cell
        for i in range(ROUTE_SUMS):
            into.cell.sums[i] -= before.sums[i]
        for i in range(ROUTE_BUCKETS):
            into.cell.latencies[i] -= before.latencies[i]


cdef bint has_counts(RouteRow* row) noexcept nogil:
    cdef int i
    if row.in_flight:
        return True
    for i in range(ROUTE_SUMS):
        if row.cell.sums[i]:
            return True
    return False


@cython.overflowcheck(False)
cdef void add_up(RouteCounters counters, Py_ssize_t slot, uint64_t owner, RouteRow* into) noexcept nogil:
    """Add the blocks up where `slot` is `owner`'s; 0: whose it is by the first live block that knows, or by any."""
    cdef RouteBlock* head
    cdef RouteEntry* entry
    cdef RouteCell* cell
    cdef int block, i
    if owner == 0:
        for block in range(counters.blocks):
            head = counters.head_of(block)
            entry = &counters.entries_of(block)[slot]
            if <uint64_t>slot < head.used and entry.owner and (owner == 0 or head.is_live):
                owner = entry.owner
                if head.is_live:
                    break
    into.owner = owner
    if owner == 0:
        return
    for block in range(counters.blocks):
        head = counters.head_of(block)
        entry = &counters.entries_of(block)[slot]
        if <uint64_t>slot >= observe_u64(&head.used) or observe_u64(&entry.owner) != owner:
            continue
        if head.is_live:
            into.in_flight += entry.in_flight
        if entry.is_used:
            cell = &counters.cells_of(block)[slot]
            for i in range(ROUTE_SUMS):
                into.cell.sums[i] += cell.sums[i]
            for i in range(ROUTE_BUCKETS):
                into.cell.latencies[i] += cell.latencies[i]


cdef double weight_of(RouteRow* row, int order) noexcept nogil:
    cdef int64_t requests = 0
    cdef int i
    if order == 3:
        return row.in_flight
    if order == 1:
        return row.cell.sums[ROUTE_5XX] + row.cell.sums[ROUTE_BROKEN_OFF]
    if order == 2:
        return latency_quantile(row.cell.latencies, 0.99)
    for i in range(STATUS_GROUPS):
        requests += row.cell.sums[i]
    return requests


cdef Py_ssize_t rank_route(RouteRank* ranks, Py_ssize_t count, Py_ssize_t limit, Py_ssize_t slot, double weight) noexcept nogil:
    """Put a slot in its place among `count` of `limit` ranks, if it has one; returns how many there are then."""
    cdef Py_ssize_t at
    if count == limit and weight <= ranks[count - 1].weight:
        return count
    at = min(count, limit - 1)
    while at > 0 and ranks[at - 1].weight < weight:
        ranks[at] = ranks[at - 1]
        at -= 1
    ranks[at].slot = slot
    ranks[at].weight = weight
    return min(count + 1, limit)


cdef double latency_quantile(const uint32_t* latencies, double quantile) noexcept nogil:
    """Seconds within which so many of the responses came, as if they were spread evenly within a bucket; 0 without any."""
    cdef int64_t total = 0
    cdef double wanted
    cdef double below = 0
    cdef double lower = 0
    cdef double upper
    cdef int i
    for i in range(ROUTE_BUCKETS):
        total += latencies[i]
    if total == 0:
        return 0
    wanted = quantile * total
    for i in range(ROUTE_BUCKETS):
        upper = <double>(<uint64_t>1 << (ROUTE_FIRST_BOUND + i)) / 1e9
        if latencies[i] and below + latencies[i] >= wanted:
            return lower + (upper - lower) * (wanted - below) / latencies[i]
        below += latencies[i]
        lower = upper
    return lower


def latency_at(latencies, double quantile):
    """Seconds within which the fraction `quantile` of the responses came that `RouteSnapshot.read` has counted."""
    cdef uint32_t counts[ROUTE_BUCKETS]
    cdef int i
    if len(latencies) != ROUTE_BUCKETS or not 0 <= quantile <= 1:
        raise ValueError("not the counts of latencies, or no fraction")
    for i in range(ROUTE_BUCKETS):
        counts[i] = latencies[i]
    return latency_quantile(counts, quantile)
