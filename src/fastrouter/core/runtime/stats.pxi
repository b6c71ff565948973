# Stats: the counters of all workers, in memory that all processes of the router share (ADR 11).
#
#   per worker: counters, histograms | per slot: in flight (sum), failure mark, last failure, distrust, use mark
#   per worker and slot: in flight
#
# Every worker writes its own column without locks; readers add the columns up. The sum of requests in flight per endpoint is
# also kept, because `max_conns` must hold at the moment a request is sent. Only this sum is changed atomically. When a worker
# dies, its column is subtracted from it.

cdef extern from *:
    """
    static inline int atomic_add_int(int *where, int what) { return __atomic_fetch_add(where, what, __ATOMIC_RELAXED); }
    """
    int atomic_add_int(int* where, int what) noexcept nogil

# Names by REFUSAL_*.
REFUSALS = (
    "malformed", "header_too_large", "header_memory", "bad_header", "bad_host", "bad_version", "transfer_encoding", "expectation",
    "incomplete_header", "plain_http", "tls_handshake", "proxy_header", "too_many_streams", "http2_error", "http2_flood",
)

# Names by COUNTER_*, which are Gorouter's where it has one (spec 7.4). The last three are gauges.
cdef tuple COUNTER_NAMES = (
    "requests", "total_requests", "dials", "rejected_requests", "bad_gateways", "backend_invalid_id",
    "backend_invalid_tls_cert", "backend_tls_handshake_failed", "backend_exhausted_conns", "websocket_upgrades",
    "websocket_failures", "responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx", "responses_xxx",
    "empty_content_length_header", "lost_log_lines", "lost_while_idle", "unsolicited",
    *[f"refused_{name}" for name in REFUSALS],
    "client_connections", "idle_backend_connections", "large_header_bytes",
)


# Gorouter's default bounds (spec 2.2), by HISTOGRAM_*: ns, seconds, ms, seconds; the last is ours, in seconds.
cdef tuple DEFAULT_BOUNDS = (
    (10000.0, 20000.0, 30000.0, 40000.0, 50000.0, 60000.0, 70000.0, 80000.0, 90000.0, 100000.0),
    (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 50.0, 100.0, 500.0, 1000.0),
    (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 50.0, 100.0, 500.0, 1000.0),
    (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
cdef tuple HISTOGRAM_NAMES = (
    "route_lookup_time", "gorouter_time", "latency", "http_latency_seconds", "fastrouter_route_latency_seconds"
)
# Rows of each histogram, one per value of its label. Row 0 is for values without a label, and for labels without a free row.
cdef int HISTOGRAM_ROWS[HISTOGRAM_KINDS]
HISTOGRAM_ROWS[:] = [1, 1, 64, 4096, 1024]


cdef class Stats:
    def __init__(self, memory, int workers, int slots, int worker=0, bounds=DEFAULT_BOUNDS):
        cdef Py_ssize_t needed = Stats.size(workers, slots)
        cdef int kind, row
        if not 0 <= worker < workers:
            raise ValueError(f"worker must be 0..{workers - 1}, not {worker}")
        self.view = memory
        if len(self.view) < needed:
            raise ValueError(f"memory must have {needed} bytes, not {len(self.view)}")
        if len(bounds) != HISTOGRAM_KINDS:
            raise ValueError(f"bounds must be {HISTOGRAM_KINDS} lists, not {len(bounds)}")
        row = 0
        for kind in range(HISTOGRAM_KINDS):
            if not 0 < len(bounds[kind]) <= HISTOGRAM_BOUNDS or list(bounds[kind]) != sorted(set(bounds[kind])):
                raise ValueError(f"bounds of {HISTOGRAM_NAMES[kind]} must be 1 to {HISTOGRAM_BOUNDS} rising numbers")
            self.bound_counts[kind] = <int>len(bounds[kind])
            for index, bound in enumerate(bounds[kind]):
                self.bounds[kind][<int>index] = bound
            self.first_rows[kind] = row
            row += HISTOGRAM_ROWS[kind]
        self.workers = workers
        self.slots = slots
        self.worker = worker
        self.base = <char*>&self.view[0]
        self.counters = self.column(worker)
        self.in_flight = <int*>(self.base + COLUMN_SIZE * <Py_ssize_t>workers)
        self.failed_at_ns = <int64_t*>(self.base + COLUMN_SIZE * <Py_ssize_t>workers + 4 * _even(slots))
        self.last_failures = self.failed_at_ns + _even(slots)
        self.distrusted_at_ns = self.last_failures + _even(slots)
        self.used = <int*>(self.distrusted_at_ns + _even(slots))
        self.own_in_flight = self._own(worker)

    @staticmethod
    def size(int workers, int slots):
        """Bytes of the mapping for so many workers and endpoints. Pages that were never written take no memory."""
        return <Py_ssize_t>workers * COLUMN_SIZE + _even(slots) * (4 + 8 + 8 + 8 + 4 + 4 * <Py_ssize_t>workers)

    @staticmethod
    def private():
        """Stats of a single data plane, not shared; its endpoints keep their own counts."""
        return Stats(mmap(-1, Stats.size(1, 0)), 1, 0)

    cdef int64_t* column(self, int worker) noexcept:
        return <int64_t*>(self.base + COLUMN_SIZE * <Py_ssize_t>worker)

    cdef int64_t* _cells(self, int worker, int kind, int row) noexcept:
        """One row of a histogram: a cell per bound, one for values above all bounds, and the sum, which is a double."""
        return self.column(worker) + COUNTERS_ROOM + (self.first_rows[kind] + row) * HISTOGRAM_CELLS

    cdef void observe(self, int kind, int row, double value) noexcept:
        """Count `value` in this worker's histogram."""
        cdef int64_t* cells = self._cells(self.worker, kind, row)
        cdef int count = self.bound_counts[kind]
        cdef int at = 0
        while at < count and value > self.bounds[kind][at]:
            at += 1
        cells[at] += 1
        (<double*>cells)[HISTOGRAM_CELLS - 1] += value

    def histogram(self, str name, int row=0):
        """(bounds, counts, sum) over all workers; one count more than there are bounds, none of them cumulative."""
        cdef int kind = HISTOGRAM_NAMES.index(name)
        cdef int worker, at
        cdef double total = 0
        cdef int64_t* cells
        if not 0 <= row < HISTOGRAM_ROWS[kind]:
            raise ValueError(f"row must be 0..{HISTOGRAM_ROWS[kind] - 1}, not {row}")
        counts = [0] * (self.bound_counts[kind] + 1)
        for worker in range(self.workers):
            cells = self._cells(worker, kind, row)
            for at in range(self.bound_counts[kind] + 1):
                counts[at] += cells[at]
            total += (<double*>cells)[HISTOGRAM_CELLS - 1]
        return [self.bounds[kind][at] for at in range(self.bound_counts[kind])], counts, total

    @staticmethod
    def rows(str name):
        """How many values the label of a histogram can have."""
        return HISTOGRAM_ROWS[<int>HISTOGRAM_NAMES.index(name)]

    cdef int* _own(self, int worker) noexcept:
        return self.used + _even(self.slots) * (1 + <Py_ssize_t>worker)

    def counts(self, worker=None):
        """Counters by name: of one worker, or of all together."""
        cdef int index, chosen
        cdef int64_t total
        result = {}
        for index in range(len(COUNTER_NAMES)):
            total = 0
            for chosen in range(self.workers):
                if worker is None or worker == chosen:
                    total += self._count_of(chosen, index)
            result[COUNTER_NAMES[index]] = total
        return result

    cdef int64_t _count_of(self, int worker, int index) noexcept:
        """One COUNTER_* of one worker."""
        cdef int64_t total = self.column(worker)[index]
        cdef int64_t* responses = self.column(worker) + COUNTERS_RESPONSES
        cdef int row
        if COUNTER_RESPONSES_2XX <= index <= COUNTER_RESPONSES_XXX:
            for row in range(HISTOGRAM_ROWS[HISTOGRAM_LATENCY]):
                total += responses[STATUS_GROUPS * row + index - COUNTER_RESPONSES_2XX]
        return total

    def responses(self, int row):
        """Responses over all workers, by their names in `counts`, whose endpoint has this row of `latency`."""
        cdef int worker, group
        if not 0 <= row < HISTOGRAM_ROWS[HISTOGRAM_LATENCY]:
            raise ValueError(f"row must be 0..{HISTOGRAM_ROWS[HISTOGRAM_LATENCY] - 1}, not {row}")
        counts = [0] * STATUS_GROUPS
        for worker in range(self.workers):
            for group in range(STATUS_GROUPS):
                counts[group] += self.column(worker)[COUNTERS_RESPONSES + STATUS_GROUPS * row + group]
        return dict(zip(COUNTER_NAMES[COUNTER_RESPONSES_2XX:COUNTER_RESPONSES_XXX + 1], counts, strict=True))

    def attempts(self, int row=0):
        """Attempts over all workers whose endpoint has this row of `latency` (its component)."""
        cdef int worker
        cdef int64_t total = 0
        if not 0 <= row < HISTOGRAM_ROWS[HISTOGRAM_LATENCY]:
            raise ValueError(f"row must be 0..{HISTOGRAM_ROWS[HISTOGRAM_LATENCY] - 1}, not {row}")
        for worker in range(self.workers):
            total += self.column(worker)[COUNTERS_NAMED + row]
        return total

    def count_lost_lines(self, int count):
        """Count lines of the access log that this worker could not write."""
        self.counters[COUNTER_LOST_LOG_LINES] += count

    def clear_mark(self, int slot):
        """Clear what is known of failures of a slot, and its distrust: it is about to be another endpoint's."""
        if 0 <= slot < self.slots:
            self.failed_at_ns[slot] = self.last_failures[slot] = self.distrusted_at_ns[slot] = 0

    def in_flight_of(self, int slot):
        """Attempts of all workers that wait for a response head of the endpoint of a slot."""
        return self.in_flight[slot] if 0 <= slot < self.slots else 0

    def last_failure(self, int slot):
        """When the endpoint of a slot was marked last, by the monotonic clock in ns, and why; None if it never was."""
        if not (0 <= slot < self.slots and self.last_failures[slot]):
            return None
        return self.last_failures[slot], name_of_mark(self.last_failures[slot])

    def failed_since(self, int64_t since_ns, Py_ssize_t slots):
        """Those of the first `slots` whose endpoints were marked after `since_ns`."""
        cdef Py_ssize_t slot
        return [slot for slot in range(min(slots, <Py_ssize_t>self.slots)) if self.last_failures[slot] > since_ns]

    def mark_of(self, int slot):
        """When the endpoint of a slot has failed, by the monotonic clock in ns; 0 if it has not."""
        return self.failed_at_ns[slot] if 0 <= slot < self.slots else 0

    def failure_of(self, int slot):
        """Why the endpoint of a slot has failed, one of FAILURES; empty if it has not, or nobody knows."""
        return "" if not 0 <= slot < self.slots else name_of_mark(self.failed_at_ns[slot])

    def set_mark(self, int slot, int64_t failed_at_ns):
        """Mark the endpoint of a slot as failed at this time of the monotonic clock, for a reason that nobody knows."""
        if 0 <= slot < self.slots:
            self.failed_at_ns[slot] = failure_mark(failed_at_ns, MARK_UNEXPLAINED) if failed_at_ns else 0

    def take_used(self):
        """Slots whose endpoints had an attempt since the last call."""
        cdef Py_ssize_t slot
        cdef list slots = []
        for slot in range(self.slots):
            if self.used[slot]:
                self.used[slot] = 0
                slots.append(slot)
        return slots

    def requests_in_flight(self, worker=None):
        """Requests waiting for a response head: of one worker, or of all together."""
        cdef Py_ssize_t slot
        cdef int64_t total = 0
        cdef int* counts = self.in_flight if worker is None else self._own(worker)
        for slot in range(self.slots):
            total += counts[slot]
        return total

    def clear_worker(self, int worker):
        """Subtract the requests in flight and the connections of a dead worker. Counters stay: they must not go down."""
        cdef Py_ssize_t slot
        self.column(worker)[COUNTER_CLIENT_CONNECTIONS] = 0
        self.column(worker)[COUNTER_IDLE_BACKEND_CONNECTIONS] = 0
        self.column(worker)[COUNTER_LARGE_HEADER_BYTES] = 0
        cdef int* own = self._own(worker)
        for slot in range(self.slots):
            if own[slot]:
                atomic_add_int(&self.in_flight[slot], -own[slot])
                own[slot] = 0


cdef inline int64_t failure_mark(int64_t failed_at_ns, int kind) noexcept nogil:
    """A failure mark: when, but for the last bits, which say why."""
    return (failed_at_ns & ~<int64_t>(MARK_REASONS - 1)) | kind


cdef inline Py_ssize_t _even(Py_ssize_t slots) noexcept nogil:
    """Slots rounded up so that eight-byte numbers behind four-byte ones stay aligned."""
    return (slots + 1) & ~<Py_ssize_t>1
