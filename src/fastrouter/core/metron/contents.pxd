# metron: what the Loggregator agent is told of each request, in envelopes of dropsonde.

cdef enum:
    # `Envelope.eventType`, as dropsonde numbers it.
    EVENT_HTTP_START_STOP = 4
    EVENT_LOG_MESSAGE = 5
    EVENT_VALUE_METRIC = 6

cdef enum:
    # `HttpStartStop.peerType`: who was the other side of whoever tells of a request.
    PEER_CLIENT = 1
    PEER_SERVER = 2

cdef enum:
    ENVELOPES_AT_ONCE = 64      # are sent together: a socket has room for some 270 small ones until its owner reads them
    ENVELOPES_MAX = 72          # those, and what a last request adds to them
    ENVELOPE_BATCH = 65536      # bytes of envelopes that are sent together
    ENVELOPE_SIZE_MAX = 65507   # bytes a datagram can have

cdef enum:
    RUN_DATAGRAMS_MAX = 64      # that one call can send
    RUN_BYTES_MAX = 65000
    RUN_DATAGRAM_MAX = 1400     # bytes of each, which no network has to divide
    OPEN_RUNS = 16              # that one more datagram may join

cdef struct DatagramRun:
    Py_ssize_t size             # bytes of each
    int count
    int first                   # their places among the datagrams
    int last

cdef class DatagramRuns:
    cdef bint has_segments                      # one call may send several datagrams of one size
    cdef DatagramRun* runs                      # room for as many as there may be datagrams
    cdef int* following                         # by datagram, the next one of its run
    cdef int send(self, int descriptor, const char* data, const Py_ssize_t* ends, int count) except -1
    cdef int _sort(self, const Py_ssize_t* ends, int count) noexcept
    cdef int _send_run(self, int descriptor, const char* data, const Py_ssize_t* ends, DatagramRun* run) noexcept

cdef class ValueMetric:
    cdef bytes start                            # origin and type of its envelopes
    # What stands before and behind the value.
    cdef bytes before
    cdef bytes behind

cdef class Metron:
    cdef int descriptor                         # of a datagram socket that is connected to the agent
    cdef readonly bint sends_values             # times of each request
    cdef readonly bint sends_server_events      # an event for each request,
    cdef readonly bint sends_client_events      # and for each attempt
    cdef AccessLog log                          # makes records of the access log; None: none are sent
    cdef bytes source_instance                  # the router's number
    cdef str origin                             # that all envelopes name
    cdef bytes event_start                      # origin and type of each kind of envelope
    cdef bytes log_start
    cdef ValueMetric lookup_time
    cdef ValueMetric gorouter_time
    cdef ValueMetric latency
    cdef dict latencies                         # component -> ValueMetric
    cdef RenderMemory batch
    cdef Py_ssize_t size                        # bytes of whole envelopes in it
    cdef Py_ssize_t ends[ENVELOPES_MAX + 1]     # where each of them ends, behind a 0
    cdef int count
    cdef DatagramRuns runs                      # of the batch that is sent
    cdef int64_t closed_until_ns                # CLOCK_MONOTONIC: nobody listened; 0: somebody may
    cdef bint is_probing                        # the next envelope shows whether somebody does again
    cdef bint is_wanted(self) noexcept
    cdef int _begin(self) except -1
    cdef int _end(self) except -1
    cdef int _flush(self) except -1
    cdef int tick(self, int64_t now_ns) except -1
    cdef Py_ssize_t _begin_envelope(self, bytes start, int64_t wall_ns) noexcept
    cdef void _end_envelope(self, Py_ssize_t begun) noexcept
    cdef void _put_value(self, ValueMetric metric, double value, int64_t wall_ns) noexcept
    cdef int on_lookup(self, int64_t nanoseconds) except -1
    cdef int on_attempt(self, Exchange exchange, int status, int64_t length) except -1
    cdef int on_request(self, Exchange exchange) except -1
    cdef int _put_times(self, Exchange exchange, int64_t wall_ns) except -1
    cdef int _put_server_event(self, Exchange exchange, int64_t wall_ns) except -1
    cdef int _put_record(self, Exchange exchange, int64_t wall_ns) except -1
