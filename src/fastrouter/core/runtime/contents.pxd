# runtime: what all of one worker's data plane shares: clocks, deadlines, settings, counters.

cdef enum:
    # In the order of REFUSALS: why a request was refused before any handler, or a connection before any request.
    REFUSAL_MALFORMED
    REFUSAL_HEADER_TOO_LARGE
    REFUSAL_HEADER_MEMORY
    REFUSAL_BAD_HEADER
    REFUSAL_BAD_HOST
    REFUSAL_BAD_VERSION
    REFUSAL_TRANSFER_ENCODING
    REFUSAL_EXPECTATION
    REFUSAL_INCOMPLETE_HEADER
    REFUSAL_PLAIN_HTTP
    REFUSAL_TLS_HANDSHAKE
    REFUSAL_PROXY_HEADER
    REFUSAL_TOO_MANY_STREAMS
    REFUSAL_HTTP2_ERROR
    REFUSAL_HTTP2_FLOOD
    REFUSAL_KINDS

cdef enum:
    # In the order of COUNTER_NAMES.
    COUNTER_REQUESTS            # exchanges finished
    COUNTER_ATTEMPTS
    COUNTER_DIALS
    COUNTER_REJECTED_REQUESTS
    COUNTER_BAD_GATEWAYS
    COUNTER_BACKEND_INVALID_ID
    COUNTER_BACKEND_INVALID_TLS_CERT
    COUNTER_BACKEND_TLS_HANDSHAKE_FAILED
    COUNTER_BACKEND_EXHAUSTED_CONNS
    COUNTER_WEBSOCKET_UPGRADES
    COUNTER_WEBSOCKET_FAILURES
    COUNTER_RESPONSES_2XX       # of requests with an endpoint, as the next four; these are sums over components
    COUNTER_RESPONSES_3XX
    COUNTER_RESPONSES_4XX
    COUNTER_RESPONSES_5XX
    COUNTER_RESPONSES_XXX
    COUNTER_EMPTY_CONTENT_LENGTH_HEADER
    COUNTER_LOST_LOG_LINES      # of the access log
    COUNTER_LOST_WHILE_IDLE     # attempts that went to a kept connection when its backend was closing it
    COUNTER_UNSOLICITED         # times that a backend has sent bytes nobody asked for
    COUNTERS_REFUSED            # here begin those by REFUSAL_*
    COUNTER_CLIENT_CONNECTIONS = COUNTERS_REFUSED + REFUSAL_KINDS   # open now, as the next
    COUNTER_IDLE_BACKEND_CONNECTIONS
    COUNTER_LARGE_HEADER_BYTES                  # that large request heads have now
    COUNTER_NONE                # counts what nobody asks for
    COUNTER_KINDS

cdef enum:
    HISTOGRAM_LOOKUP            # route_lookup_time, ns
    HISTOGRAM_GOROUTER          # gorouter_time, seconds
    HISTOGRAM_LATENCY           # latency, ms, by component
    HISTOGRAM_HTTP              # http_latency_seconds, by source_id
    HISTOGRAM_ROUTE             # fastrouter_route_latency_seconds, by route
    HISTOGRAM_KINDS
    HISTOGRAM_BOUNDS = 30       # a histogram can have at most
    HISTOGRAM_CELLS = 32        # numbers a row has: bounds, what is above them, the sum
    COUNTERS_NAMED = 64         # numbers for COUNTER_*, and behind them the attempts by component
    COUNTERS_RESPONSES = 128    # here begin the responses by component, each with
    STATUS_GROUPS = 5           # numbers: 2xx to 5xx, and the rest
    COUNTERS_ROOM = 448
    # Bytes one worker's column has: its counters, and 1 + 1 + 64 + 4096 + 1024 rows.
    COLUMN_SIZE = 8 * (448 + 32 * 5186)

cdef enum:
    MARK_REASONS = 32           # the last bits of a failure mark, a power of two: FAILURE_*, or
    MARK_UNEXPLAINED = 31       # nobody knows why

cdef enum:
    # Of a route, by the status of its responses first (STATUS_GROUPS), then
    ROUTE_5XX = 3
    ROUTE_RETRIES = 5           # attempts beyond the first
    ROUTE_BROKEN_OFF            # responses that broke off in the middle
    ROUTE_LATENCY_NS            # sum, of all but tunnels
    ROUTE_SUMS
    ROUTE_BUCKETS = 16          # of latencies
    ROUTE_FIRST_BOUND = 19      # the bound of the first is 2^19 ns, and of each next twice as much

cdef struct RoutesHead:         # of the mapping of RouteCounters
    uint64_t magic
    uint64_t layout
    uint64_t blocks
    uint64_t slots
    uint64_t unused[4]

cdef struct RouteBlock:         # head of one worker's block
    uint64_t is_live            # it has a worker; written when one begins, and by the control process at its end
    uint64_t used               # slots from 0 to before this have been in use
    uint64_t unused[6]

cdef struct RouteEntry:
    uint64_t owner              # whose slot this is: `owner_of` the route's key; 0: nobody's
    int in_flight
    int is_used                 # the cell is not all zeros

cdef struct RouteCell:
    int64_t sums[8]             # by status group, then ROUTE_*
    uint32_t latencies[16]      # by bucket; they wrap around

cdef struct RouteRow:           # one slot, all blocks added up
    uint64_t owner
    int64_t in_flight
    RouteCell cell

cdef struct RouteRank:
    Py_ssize_t slot
    double weight

cdef enum:
    LOG_DEBUG = 0               # spec 6.6
    LOG_INFO = 1
    LOG_WARN = 2
    LOG_ERROR = 3

cdef class Timed:
    cdef DeadlineQueue queue    # the queue it stands in, or None
    cdef Timed ahead            # neighbours in that queue
    cdef Timed behind
    cdef int64_t expires_ns     # CLOCK_MONOTONIC
    cdef void arm(self, DeadlineQueue queue) noexcept
    cdef void disarm(self) noexcept
    cdef on_deadline(self, DeadlineQueue queue)
    cdef int on_panic(self, object error) except -1

cdef class DeadlineQueue:
    cdef int64_t timeout_ns     # 0: nobody ever stands here
    cdef int64_t looked_ns      # CLOCK_MONOTONIC, of the last look
    cdef Timed first            # waits longest
    cdef Timed last
    cdef bint expire(self, int64_t now_ns, int64_t until_ns) except -1

cdef class Settings:
    cdef readonly int max_attempts              # per request (spec 5.1)
    cdef readonly double dial_timeout           # seconds, as all timeouts; 0 = none
    cdef readonly double tls_handshake_timeout
    cdef readonly double endpoint_timeout       # a whole attempt with its body
    cdef readonly double http2_endpoint_timeout  # the same for clients of HTTP/2; 0: endpoint_timeout holds for them too
    cdef readonly double frontend_idle_timeout  # client between requests
    cdef readonly double read_header_timeout    # 0: frontend_idle_timeout holds for heads too
    cdef readonly double proxy_header_timeout   # until it is clear that a connection has no PROXY header (spec 8.1)
    cdef readonly double backend_idle_timeout
    cdef readonly double route_patience         # how long a request waits for a route that is not there; 0: not at all
    cdef readonly double large_head_patience    # for a large head to come while others want its room
    cdef readonly double half_close_timeout     # for a response to begin to a client that has half-closed
    cdef readonly double tunnel_silence_timeout  # of one side of a tunnel when the other has ended
    cdef readonly double closing_timeout        # for a peer to take what was written, where no deadline ends its exchange
    cdef readonly double keep_alive_probe_interval  # of TCP towards backends; 0 or less: none
    cdef readonly double http2_ping_interval    # of silence of a backend that is asked for something; 0: no PING
    cdef readonly double http2_ping_timeout     # for it to say anything then
    cdef readonly bint backend_keep_alive
    cdef readonly int max_idle_per_endpoint     # connections
    cdef readonly bint learns_idle_limits       # requests that cannot be repeated keep clear of backends' idle limits
    cdef readonly int max_request_head          # bytes; the soft limit, of handler 16
    cdef Py_ssize_t max_received_head           # bytes, where the server gives up
    cdef readonly int max_large_heads           # bytes that heads beyond LARGE_HEAD may have together; 0: any
    cdef readonly int max_request_headers       # fields
    cdef readonly int max_response_head         # bytes
    cdef readonly int max_response_headers      # fields
    cdef readonly int max_buffered              # bytes held per direction before reading stops
    cdef readonly bint empty_pool_503           # respond 503, not 404, where a route has no endpoints left
    cdef readonly int64_t max_conns             # requests in flight per endpoint; 0 = any number
    cdef readonly str balancing_algorithm       # one of ALGORITHMS, for routes that have none of their own
    cdef readonly str az_preference             # none, locally-optimistic
    cdef bint prefers_local
    cdef readonly str zone                      # the router's own
    cdef readonly double failure_memory         # seconds a failure mark lasts
    cdef int64_t failure_memory_ns
    cdef readonly double distrust_memory        # seconds a distrusted endpoint's connections are not kept; 0: they are
    cdef int64_t distrust_memory_ns
    cdef readonly double bodiless_rest          # seconds until a connection is used again after a response without a body
    cdef int64_t bodiless_rest_ns
    cdef readonly tuple sticky_cookie_names     # of bytes
    cdef readonly bint sticky_for_negotiate
    cdef readonly bint secure_cookies
    cdef readonly bint keeps_sticky_metadata    # sticky sessions of later Gorouters (spec 9.3)
    cdef readonly bint takes_empty_length       # a request's Content-Length without a value is none
    cdef readonly bint takes_h2c                # HTTP/2 in the clear, of clients that begin with its preface
    cdef readonly bint observes_requests        # histograms of lookup, router and response times
    cdef readonly bint observes_apps            # histogram by source_id
    cdef readonly bint observes_routes          # histogram by route
    cdef readonly bint traces_zipkin            # B3 headers
    cdef readonly bint traces_w3c               # traceparent, tracestate
    cdef readonly str w3c_tenant_id
    cdef readonly bint propagates_only          # trace headers stay as they are
    cdef bytes tracestate_key                   # of the router's own entry
    cdef readonly object backend_tls            # ssl.SSLContext for TLS endpoints
    cdef readonly object backend_http2_tls      # the same for those that may speak HTTP/2: it offers that by ALPN
    cdef bytes healthcheck_user_agent           # who asks for the router's health with it, gets it
    cdef bytes trace_key                        # X-Vcap-Trace with it asks for trace headers; empty: nobody may
    cdef bytes local_ip                         # the router's, for those
    cdef readonly bint refuses_client_ip        # a request whose Host is its client's address has none (spec 4.2)
    cdef readonly str forwarded_client_cert     # always_forward, forward, sanitize_set
    cdef readonly bint forces_proto_https       # X-Forwarded-Proto is https, whatever it was
    cdef readonly bint sanitizes_proto          # X-Forwarded-Proto of clients does not count
    cdef readonly frozenset hop_by_hop_filter   # lower-case names `Connection` cannot have stripped
    cdef Rewriting rewriting                    # of response headers, or None
    cdef readonly RouteServices route_services
    cdef readonly object render_error           # callable(status, status text, message, headers) -> HTML; None: plain text
    cdef readonly object resolve                # coroutine of a host -> list of IP addresses; None: the event loop resolves

cdef class Stats:
    cdef unsigned char[::1] view                # the mapping
    cdef char* base
    cdef readonly int workers
    cdef readonly int slots                     # endpoints it has room for
    cdef readonly int worker                    # whose column this process writes
    cdef int64_t* counters                      # of that column, by COUNTER_*
    cdef int* in_flight                         # by slot, over all workers; changed atomically
    cdef int* own_in_flight                     # by slot, of this worker
    cdef int64_t* failed_at_ns                  # by slot
    cdef int64_t* last_failures                 # by slot: the last failure mark, which stays when it is forgotten; 0: none
    cdef int64_t* distrusted_at_ns              # by slot
    cdef int* used                              # by slot, 1 after an attempt until somebody asks
    cdef double bounds[HISTOGRAM_KINDS][HISTOGRAM_BOUNDS]
    cdef int bound_counts[HISTOGRAM_KINDS]
    cdef int first_rows[HISTOGRAM_KINDS]
    cdef int64_t* column(self, int worker) noexcept
    cdef int64_t* _cells(self, int worker, int kind, int row) noexcept
    cdef int64_t _count_of(self, int worker, int index) noexcept
    cdef void observe(self, int kind, int row, double value) noexcept
    cdef int* _own(self, int worker) noexcept

cdef class RouteCounters:
    cdef unsigned char[::1] view                # the mapping
    cdef char* base
    cdef readonly int blocks
    cdef readonly int slots                     # routes it has room for, and slot 0, which is nobody's
    cdef readonly int block                     # that this process writes; -1: none
    cdef RouteBlock* own                        # its head, entries and cells
    cdef RouteEntry* entries
    cdef RouteCell* cells

    cdef RouteBlock* head_of(self, int block) noexcept nogil
    cdef RouteCell* cells_of(self, int block) noexcept nogil
    cdef RouteEntry* entries_of(self, int block) noexcept nogil
    cdef int claim(self, int slot, bytes key) except -1
    cdef void enter(self, int slot) noexcept
    cdef void leave(self, int slot) noexcept
    cdef void count(self, int slot, int group, int retries, int64_t latency_ns, bint is_broken_off) noexcept
    cdef int _check(self, int block) except -1

cdef class RouteSnapshot:
    cdef uint64_t* owners                       # by slot, 0: nobody's
    cdef int32_t* places                        # by slot, where in `rows` its counts are, negative: it has none
    cdef RouteRow* rows                         # of the slots that have counted something: few, where there are many
    cdef readonly Py_ssize_t count
    cdef readonly int64_t at_ns                 # CLOCK_MONOTONIC
    cdef bint take(self, RouteCounters counters) noexcept nogil
    cdef void subtract(self, Py_ssize_t slot, RouteSnapshot earlier, RouteRow* into) noexcept nogil

cdef class DataPlane:
    cdef RouteTable table
    cdef Settings settings
    cdef AccessLog access_log
    cdef dict domains                           # name (bytes, lower case) -> MutualTLSDomain
    cdef list logged_headers                    # of LoggedHeader, that either of them logs
    cdef Metron metron                          # None: no agent is told of requests
    cdef Spans spans                            # None: requests have no spans
    cdef object event_log                       # callable(level, message, data) or None
    cdef object table_log                       # the same, for what is about the pools of the table
    cdef object on_prune                        # callable(uri, address) or None: an endpoint was removed for good
    cdef object loop
    cdef object tick_handle
    cdef int64_t ticked_ns                      # CLOCK_MONOTONIC of the last tick
    cdef int64_t wall_offset_ns                 # CLOCK_REALTIME less CLOCK_MONOTONIC, as of then
    cdef int late_ticks                         # in a row
    cdef tuple deadlines                        # every DeadlineQueue
    cdef Py_ssize_t expiring                    # which of them is looked at in this turn; all of them have been: their number
    cdef int64_t starved_ns                     # CLOCK_MONOTONIC, when a lack of descriptors was logged last
    cdef int64_t starved_dials                  # since then
    cdef int starved_errno                      # 0: nothing to log
    cdef bint logs_debug                        # lines of LOG_DEBUG are wanted: nobody makes them otherwise
    cdef bint is_healthy                        # what health checks by User-Agent are told
    cdef bint is_draining                       # connections are closed with their next response
    cdef bint closes_idle                       # and those that become idle all the same
    cdef set clients                            # open AcceptedConnections
    cdef set backends                           # DialledConnections, from their dial on
    cdef set resetting                          # clients that are reset once they have what was written
    cdef Turns turns
    cdef GatheredWrites gathered
    cdef LargeHeads large_heads
    cdef SocketPoll poll            # those that are read past the loop
    cdef RouteWaits route_waits
    cdef set handshaking                        # connections that no client has yet: ClientTLSTransports, ProxyHeaderReaders
    cdef DeadlineQueue proxy_headers
    cdef DeadlineQueue header_reads
    cdef DeadlineQueue half_closes              # clients that have half-closed, until their response begins
    cdef DeadlineQueue tunnel_silences          # clients whose tunnels have one side that has ended
    cdef DeadlineQueue client_idles
    cdef DeadlineQueue lingerings
    cdef DeadlineQueue closings
    cdef DeadlineQueue continue_waits
    cdef DeadlineQueue dials
    cdef DeadlineQueue handshakes               # of TLS with backends
    cdef DeadlineQueue attempts
    cdef DeadlineQueue http2_attempts           # of clients that speak HTTP/2
    cdef DeadlineQueue stalls
    cdef DeadlineQueue backend_idles
    cdef DeadlineQueue pings                    # backends of HTTP/2 that are silent
    cdef DeadlineQueue ping_answers
    cdef Stats shared                           # keeps `counters` alive
    cdef int64_t* counters                      # this worker's, by COUNTER_*
    cdef RouteCounters route_counters           # None: routes are not counted
    cdef list tails                             # of Tail; None: nobody listens
    cdef DataPlane twin                         # on which requests are explained; None until one is
    cdef DataPlane as_twin(self)
    cdef bint tells_times(self) noexcept
    cdef int _reset_delivered(self) except -1
    cdef int _look_for_descriptors(self) except -1
    cdef int on_starved_dial(self, int number) except -1
    cdef int on_starved(self, int number) except -1
    cdef int log(self, int level, str message, dict data) except -1
    cdef EndpointPool find(
        self, const char* host, Py_ssize_t host_length, const char* path, Py_ssize_t path_length, bint is_final=*
    )
