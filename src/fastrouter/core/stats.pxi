# Stats: what all workers of a router count, in one mapping that all its processes see (architecture.md section 2).
#
#   header | per worker: counters, histograms | per slot: in flight (sum), failure mark | per worker and slot: in flight
#
# Every worker writes its own column without locks; readers add the columns up. The sum of requests in flight per endpoint is
# kept besides, because `max_conns` must hold at the very moment a request is sent: it is the one thing changed atomically. The
# columns of it are what is taken off the sum when a worker dies.

cdef extern from *:
    """
    static inline int atomic_add_int(int *where, int what) { return __atomic_fetch_add(where, what, __ATOMIC_RELAXED); }
    """
    int atomic_add_int(int* where, int what) noexcept nogil

# Names by COUNTER_*, which are Gorouter's where it has one (spec 7.4).
cdef tuple COUNTER_NAMES = (
    "requests", "total_requests", "dials", "rejected_requests", "bad_gateways", "backend_invalid_id",
    "backend_invalid_tls_cert", "backend_tls_handshake_failed", "backend_exhausted_conns", "websocket_upgrades",
    "websocket_failures", "responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx", "responses_xxx",
)


cdef class Stats:
    def __init__(self, memory, int workers, int slots, int worker=0):
        cdef Py_ssize_t needed = Stats.size(workers, slots)
        if not 0 <= worker < workers:
            raise ValueError(f"worker must be 0..{workers - 1}, not {worker}")
        self.view = memory
        if len(self.view) < needed:
            raise ValueError(f"memory must have {needed} bytes, not {len(self.view)}")
        self.workers = workers
        self.slots = slots
        self.worker = worker
        self.base = <char*>&self.view[0]
        self.counters = self.column(worker)
        self.in_flight = <int*>(self.base + COLUMN_SIZE * workers)
        self.failed_at_ns = <int64_t*>(self.base + COLUMN_SIZE * workers + 4 * _even(slots))
        self.own_in_flight = self._own(worker)

    @staticmethod
    def size(int workers, int slots):
        """Bytes of the mapping for so many workers and endpoints. Untouched pages of it cost nothing."""
        return <Py_ssize_t>workers * COLUMN_SIZE + _even(slots) * (4 + 8 + 4 * <Py_ssize_t>workers)

    @staticmethod
    def private():
        """Stats of one data plane that shares them with nobody; its endpoints keep their own counts."""
        return Stats(bytearray(Stats.size(1, 0)), 1, 0)

    cdef int64_t* column(self, int worker) noexcept:
        return <int64_t*>(self.base + COLUMN_SIZE * worker)

    cdef int* _own(self, int worker) noexcept:
        return <int*>(self.base + COLUMN_SIZE * self.workers + _even(self.slots) * (4 + 8 + 4 * <Py_ssize_t>worker))

    def counts(self, worker=None):
        """Counters by name: of one worker, or of all together."""
        cdef int index, chosen
        cdef int64_t total
        result = {}
        for index in range(len(COUNTER_NAMES)):
            total = 0
            for chosen in range(self.workers):
                if worker is None or worker == chosen:
                    total += self.column(chosen)[index]
            result[COUNTER_NAMES[index]] = total
        return result

    def requests_in_flight(self, worker=None):
        """Requests waiting for a response head: of one worker, or of all together."""
        cdef Py_ssize_t slot
        cdef int64_t total = 0
        cdef int* counts = self.in_flight if worker is None else self._own(worker)
        for slot in range(self.slots):
            total += counts[slot]
        return total

    def clear_worker(self, int worker):
        """Take what a dead worker had in flight off the sums. Its counters stay: they only ever go up."""
        cdef Py_ssize_t slot
        cdef int* own = self._own(worker)
        for slot in range(self.slots):
            if own[slot]:
                atomic_add_int(&self.in_flight[slot], -own[slot])
                own[slot] = 0


cdef inline Py_ssize_t _even(Py_ssize_t slots) noexcept nogil:
    """Slots rounded up so that eight-byte numbers behind four-byte ones stay aligned."""
    return (slots + 1) & ~<Py_ssize_t>1
