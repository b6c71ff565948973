# Metron: the Loggregator agent of this machine as the data plane talks to it: envelopes of requests, many in few system calls.
#
# An envelope is a datagram. They are made by hand, because there are up to seven for each request: with a library each costs some
# microseconds (ADR 20). The control process, whose envelopes are few, uses one.

# How long nothing is made for an agent that does not listen.
cdef int64_t METRON_CLOSED_NS = 1000000000


# Bytes of name and unit in an envelope of a value; with fewer, numbers in it are written longer than they must be.
cdef int VALUE_TEXTS = 19


cdef class ValueMetric:
    """A metric that is a number: its envelope, but for the number and the time.

    The envelopes of most metrics have one size, so that they go through the kernel together.
    """

    def __cinit__(self, str origin, str name, str unit):
        cdef bytes named = sized_field(1, name.encode("utf-8")) + key_of(2, 1)
        cdef int missing = max(0, VALUE_TEXTS - len(name) - len(unit))
        # Some readers take five bytes of a size at most.
        cdef int in_size = min(missing, 4)
        self.behind = sized_field(3, unit.encode("utf-8"))
        self.start = envelope_start(origin, EVENT_VALUE_METRIC, 1 + missing - in_size)
        self.before = key_of(9, 2) + varint_of(len(named) + 8 + len(self.behind), 1 + in_size) + named


cdef bytes envelope_start(str origin, int event_type, int width=1):
    """Origin and type of an envelope; the type is written in `width` bytes."""
    return sized_field(1, origin.encode("utf-8")) + key_of(2, 0) + varint_of(event_type, width)


cdef class Metron:
    """Sends envelopes over `descriptor`, which stays the caller's: a datagram socket that is connected to the agent.

    An agent that does not listen costs nothing: once a second a single envelope finds out. `log` makes the records that are sent
    with the app id; its sink gets nothing.
    """

    def __init__(self, int descriptor, *, str origin, bint sends_values=False, bint sends_server_events=False,
                 bint sends_client_events=False, AccessLog log=None, str source_instance="0"):
        self.descriptor = descriptor
        self.runs = DatagramRuns(descriptor)
        self.sends_values = sends_values
        self.sends_server_events = sends_server_events
        self.sends_client_events = sends_client_events
        self.log = log
        self.source_instance = source_instance.encode("ascii")
        self.origin = origin
        self.event_start = envelope_start(origin, EVENT_HTTP_START_STOP)
        self.log_start = envelope_start(origin, EVENT_LOG_MESSAGE)
        self.lookup_time = ValueMetric(origin, "route_lookup_time", "ns")
        self.gorouter_time = ValueMetric(origin, "gorouter_time", "ms")
        self.latency = ValueMetric(origin, "latency", "ms")
        self.latencies = {}

    def __dealloc__(self):
        free(self.batch.start)

    def flush(self):
        """Send what there is."""
        self._flush()

    # --- what happens

    cdef int on_lookup(self, int64_t nanoseconds) except -1:
        """A route was looked up."""
        if not self.is_wanted():
            return 0
        self._begin()
        try:
            self._put_value(self.lookup_time, <double>nanoseconds, wall_ns())
        finally:
            self._end()
        return 0

    cdef int on_attempt(self, Exchange exchange, int status, int64_t length) except -1:
        """An attempt has a response, whose Content-Length is `length` (-1: none), or has failed: both are 0 then."""
        cdef Request request = exchange.request
        cdef RoundTrip trip = exchange.round_trip
        cdef int64_t offset_ns = request.received_wall_ns - request.received_ns
        cdef int64_t now_ns
        cdef Py_ssize_t begun
        if not self.sends_client_events or not self.is_wanted():
            return 0
        now_ns = monotonic_ns() + offset_ns
        self._begin()
        try:
            begun = self._begin_envelope(self.event_start, now_ns)
            put_start_stop(exchange, PEER_CLIENT, trip.attempt_ns + offset_ns, now_ns, status, length)
            self._end_envelope(begun)
        finally:
            self._end()
        return 0

    cdef int on_request(self, Exchange exchange) except -1:
        """A request is over."""
        cdef int64_t stopped_ns = exchange.request.received_wall_ns + exchange.finished_ns - exchange.request.received_ns
        if not self.is_wanted():
            return 0
        self._begin()
        try:
            if not exchange.response.is_broken_off:
                # In Gorouter a panic then leaves the handlers, past all that would tell of it.
                if self.sends_values:
                    self._put_times(exchange, stopped_ns)
                if self.sends_server_events:
                    self._put_server_event(exchange, stopped_ns)
            if self.log is not None:
                self._put_record(exchange, stopped_ns)
        finally:
            self._end()
        return 0

    cdef int _put_times(self, Exchange exchange, int64_t wall_ns) except -1:
        """Response and router times, if a request has gone to a backend (spec 4.2)."""
        cdef RoundTrip trip = exchange.round_trip
        cdef ValueMetric latency
        cdef double milliseconds
        if trip.endpoint is None or trip.started_ns == 0:
            return 0
        milliseconds = <double>((exchange.finished_ns - exchange.request.received_ns) // 1000000)
        self._put_value(self.latency, milliseconds, wall_ns)
        if trip.endpoint.component:
            latency = self.latencies.get(trip.endpoint.component)
            if latency is None:
                latency = ValueMetric(self.origin, f"latency.{trip.endpoint.component}", "ms")
                if trip.endpoint.component_row:
                    # Those with rows of their own are few.
                    self.latencies[trip.endpoint.component] = latency
            self._put_value(latency, milliseconds, wall_ns)
        self._put_value(self.gorouter_time, (trip.started_ns - exchange.request.received_ns) / 1e6, wall_ns)
        return 0

    cdef int _put_server_event(self, Exchange exchange, int64_t wall_ns) except -1:
        cdef Endpoint endpoint = logged_endpoint(exchange)
        cdef const Trace* trace = exchange.named_trace()
        cdef Py_ssize_t begun = self._begin_envelope(self.event_start, wall_ns)
        put_start_stop(
            exchange, PEER_SERVER, exchange.request.received_wall_ns, wall_ns, exchange.response.status,
            exchange.response.bytes_sent,
        )
        if endpoint is not None and endpoint.envelope_tags is not None:
            put_bytes(endpoint.envelope_tags)
        put_tag(b"span_id", trace.span_id, 16)
        put_tag(b"trace_id", trace.id, trace.id_length)
        self._end_envelope(begun)
        return 0

    cdef int _put_record(self, Exchange exchange, int64_t wall_ns) except -1:
        """The line of the access log, for the app that it is about (spec 6.5)."""
        cdef Endpoint endpoint = logged_endpoint(exchange)
        cdef Py_ssize_t begun, begun_message, begun_record
        if endpoint is None or endpoint.app.length == 0:
            if exchange.plane.logs_debug:
                exchange.plane.log(LOG_DEBUG, "dropping-loggregator-access-log", {
                    "error": "either no appId or source instance present", "appID": "",
                    "sourceInstance": self.source_instance.decode("ascii"),
                })
            return 0
        begun = self._begin_envelope(self.log_start, wall_ns)
        begun_message = begin_field(8)
        begun_record = begin_field(1)
        self.log.put_bounded_record(exchange)
        end_field(begun_record)
        put_number_field(2, 1)
        put_number_field(3, <uint64_t>wall_ns)
        put_sized_field(4, PyBytes_AS_STRING(endpoint.headers) + endpoint.app.start, endpoint.app.length)
        put_sized_field(5, b"RTR", 3)
        put_bytes_field(6, self.source_instance)
        end_field(begun_message)
        if endpoint.envelope_tags is not None:
            put_bytes(endpoint.envelope_tags)
        self._end_envelope(begun)
        return 0

    # --- envelopes

    cdef inline bint is_wanted(self) noexcept:
        """Whether an envelope would be sent."""
        return self.closed_until_ns == 0 and not (self.is_probing and self.count)

    cdef int _begin(self) except -1:
        """Append to the batch from now on."""
        swap_memory(&self.batch)
        if self.size:
            resume_message(self.size)
        else:
            begin_message()
        return 0

    cdef int _end(self) except -1:
        """The batch has what it had, and the envelopes that were ended since."""
        drop_message()
        self.size = self.ends[self.count]
        swap_memory(&self.batch)
        if self.count >= ENVELOPES_AT_ONCE or self.size >= ENVELOPE_BATCH:
            self._flush()
        return 0

    cdef Py_ssize_t _begin_envelope(self, bytes start, int64_t wall_ns) noexcept:
        cdef Py_ssize_t begun = message_size()
        put_bytes(start)
        put_number_field(6, <uint64_t>wall_ns)
        return begun

    cdef void _end_envelope(self, Py_ssize_t begun) noexcept:
        """An envelope is complete. One that is too large for a datagram is lost."""
        if message_size() - begun > ENVELOPE_SIZE_MAX or _is_lost:
            cut_message(begun)
            return
        self.count += 1
        self.ends[self.count] = message_size()

    cdef void _put_value(self, ValueMetric metric, double value, int64_t wall_ns) noexcept:
        cdef Py_ssize_t begun = self._begin_envelope(metric.start, wall_ns)
        put_bytes(metric.before)
        put(<const char*>&value, sizeof(value))
        put_bytes(metric.behind)
        self._end_envelope(begun)

    # --- sending

    cdef int tick(self, int64_t now_ns) except -1:
        """Send what has come since the last batch, and look again for an agent that was not there."""
        self._flush()
        if self.closed_until_ns and now_ns >= self.closed_until_ns:
            self.closed_until_ns = 0
            self.is_probing = True
        return 0

    cdef int _flush(self) except -1:
        """Send the batch, without waiting: what the kernel does not take is lost, as it may be on the way."""
        cdef int count = self.count
        if count == 0:
            return 0
        self.count = 0
        self.size = 0
        if self.runs.send(self.descriptor, self.batch.start, self.ends, count) == ECONNREFUSED:
            self.closed_until_ns = monotonic_ns() + METRON_CLOSED_NS
        else:
            self.is_probing = False
        return 0


cdef inline void put_tag(const char* name, const char* value, Py_ssize_t length) noexcept:
    """Append a tag of an envelope. `name`: a C literal."""
    cdef Py_ssize_t begun = begin_field(17)
    put_sized_field(1, name, strlen(name))
    put_sized_field(2, value, length)
    end_field(begun)
