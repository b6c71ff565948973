# cython: overflowcheck=False
# Table of contents of the data plane: every class with its fields, one clause each (units, who writes it).
# Methods are documented where they are defined, in core/*.pxi.

from libc.stdint cimport int64_t, uint32_t

cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"   # a bint of one byte, for fields

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        void* ptr
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data

cdef enum Verdict:
    VERDICT_ERROR = -1          # a Python exception is set
    VERDICT_OK
    VERDICT_INCOMPLETE
    VERDICT_BAD_REQUEST
    VERDICT_BAD_NAME
    VERDICT_BAD_VALUE

cdef enum:
    # Header names the router knows. The order matters three times: CONNECTION..UPGRADE is the hop-by-hop list of spec 4.4,
    # HOST..X_CF_INSTANCEINDEX is what the router renders itself instead of copying it, and X_B3_TRACEID..X_CF_FORWARDED_URL
    # is what handlers set, in the order they do.
    HEADER_HOST
    HEADER_CONNECTION
    HEADER_PROXY_CONNECTION
    HEADER_KEEP_ALIVE
    HEADER_PROXY_AUTHENTICATE
    HEADER_PROXY_AUTHORIZATION
    HEADER_TE
    HEADER_TRAILER
    HEADER_TRANSFER_ENCODING
    HEADER_UPGRADE
    HEADER_CONTENT_LENGTH
    HEADER_X_FORWARDED_FOR
    HEADER_X_FORWARDED_PROTO
    HEADER_X_REQUEST_START
    HEADER_X_VCAP_REQUEST_ID
    HEADER_X_CF_APP_INSTANCE
    HEADER_X_CF_APPLICATIONID
    HEADER_X_CF_INSTANCEID
    HEADER_X_CF_INSTANCEINDEX
    HEADER_X_CF_PROCESS_INSTANCE
    HEADER_EXPECT
    HEADER_USER_AGENT
    HEADER_REFERER
    HEADER_DATE
    HEADER_IDEMPOTENCY_KEY
    HEADER_X_IDEMPOTENCY_KEY
    HEADER_COOKIE
    HEADER_SET_COOKIE
    HEADER_AUTHORIZATION
    HEADER_WWW_AUTHENTICATE
    HEADER_X_CF_ROUTERERROR
    HEADER_X_B3_PARENTSPANID
    HEADER_X_B3_SAMPLED
    HEADER_X_B3_FLAGS
    HEADER_X_VCAP_TRACE
    HEADER_X_VCAP_ROUTER
    HEADER_X_VCAP_BACKEND
    HEADER_X_CF_ROUTEENDPOINT
    HEADER_X_B3_TRACEID
    HEADER_X_B3_SPANID
    HEADER_B3
    HEADER_TRACEPARENT
    HEADER_TRACESTATE
    HEADER_X_FORWARDED_CLIENT_CERT
    HEADER_X_CF_PROXY_SIGNATURE
    HEADER_X_CF_PROXY_METADATA
    HEADER_X_CF_FORWARDED_URL
    HEADER_OTHER
    HEADER_KINDS = HEADER_OTHER
    FIRST_CHANGED = HEADER_X_B3_TRACEID
    LAST_CHANGED = HEADER_X_CF_FORWARDED_URL
    CHANGED_KINDS = LAST_CHANGED + 1 - FIRST_CHANGED
    KNOWN_NAME_MAX = 24         # bytes; longer names are HEADER_OTHER

cdef enum:
    FRAMING_NONE                # no body
    FRAMING_LENGTH              # Content-Length
    FRAMING_CHUNKED             # Transfer-Encoding: chunked
    FRAMING_UNTIL_CLOSE         # the end of the connection ends it; responses only

cdef enum:
    CHUNK_SIZE
    CHUNK_SIZE_BLANK
    CHUNK_EXTENSION
    CHUNK_SIZE_LF
    CHUNK_DATA
    CHUNK_DATA_CR
    CHUNK_DATA_LF
    CHUNK_TRAILER_START
    CHUNK_TRAILER
    CHUNK_LAST_LF
    CHUNK_EXTENSION_MAX = 4096  # bytes of one chunk's extension
    CHUNK_EXCESS_MAX = 16384    # `Framing.excess`, as Go has it
    CHUNKS_AT_ONCE = 512        # walked in one step
    TRAILER_MAX = 65536         # bytes of a whole trailer section
    TRAILER_LINES_MAX = 1000
    STATUS_LINE_MAX = 4096
    INTERIM_MAX = 64            # interim responses that one request may get

cdef enum:
    FAILURE_DIAL
    FAILURE_STARVED
    FAILURE_PLAIN_ANSWER
    FAILURE_HOSTNAME_MISMATCH
    FAILURE_REMOTE_CERTIFICATE
    FAILURE_REMOTE_HANDSHAKE
    FAILURE_HANDSHAKE_TIMEOUT
    FAILURE_UNTRUSTED
    FAILURE_INCOMPLETE
    FAILURE_HANDSHAKE_RESET
    FAILURE_RESET
    FAILURE_IDEMPOTENT_EOF
    FAILURE_EOF
    FAILURE_TIMEOUT
    FAILURE_BAD_RESPONSE
    FAILURE_TOO_MANY_HEADERS
    FAILURE_NO_ENDPOINTS
    FAILURE_CLIENT_GONE
    FAILURE_KINDS

cdef enum:
    # In the order of REFUSALS: why a request came to no handler, or a connection to no request.
    REFUSAL_MALFORMED
    REFUSAL_HEADER_TOO_LARGE
    REFUSAL_BAD_HEADER
    REFUSAL_BAD_HOST
    REFUSAL_BAD_VERSION
    REFUSAL_TRANSFER_ENCODING
    REFUSAL_EXPECTATION
    REFUSAL_INCOMPLETE_HEADER
    REFUSAL_PLAIN_HTTP
    REFUSAL_TLS_HANDSHAKE
    REFUSAL_PROXY_HEADER
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
    COUNTERS_REFUSED            # here begin those by REFUSAL_*
    COUNTER_CLIENT_CONNECTIONS = COUNTERS_REFUSED + REFUSAL_KINDS   # open now, as the next
    COUNTER_IDLE_BACKEND_CONNECTIONS
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
    LOG_DEBUG = 0               # spec 6.6
    LOG_INFO = 1
    LOG_WARN = 2
    LOG_ERROR = 3

cdef enum:
    # In the order of EXTRA_FIELDS.
    FIELD_FAILED_ATTEMPTS
    FIELD_FAILED_ATTEMPTS_TIME
    FIELD_DNS_TIME
    FIELD_DIAL_TIME
    FIELD_TLS_TIME
    FIELD_BACKEND_TIME
    FIELD_LOCAL_ADDRESS

cdef enum:
    SERVER_HEAD_MAX = 1048576   # bytes of a request head that reaches the handlers, whatever their own limit is (spec 4.0)
    HEAD_SLOP = 4096            # bytes it may exceed that by
    RELAY_COPY_MAX = 16384      # bytes of body copied behind a head; more is written without copying
    DISCARD_MAX = 262144        # bytes of an unwanted request body that are read before the connection is given up
    KNOWN_SERVICES_MAX = 4096   # route services whose URL is kept taken apart
    ACCESS_BATCH = 131072       # bytes of log lines handed over at once
    ACCESS_LINE_FIXED = 8192    # bytes a log line has besides what comes out of the request
    LOGGED_FIELDS_MAX = 1 << 24  # more fields than a head has room for
    REFUSED_LOOK_MAX = 2048     # bytes of a refused request that its log line is taken from
    INCOMPLETE_LOOK_MAX = 256   # of one that never came whole: the time of many may be over at once
    RULE_LENGTHS = 32           # a power of two

cdef enum:
    TLS_GREETING                # of a client, before the whole ClientHello
    TLS_HANDSHAKE
    TLS_OPEN                    # the owner's transport
    TLS_SHUT                    # the last words are out
    TLS_RECORD_HANDSHAKE = 22   # first byte of a connection that speaks TLS
    TLS_EXTENSION_ALPN = 16
    TLS_RECORD_MAX = 16384      # bytes of plain text in one record
    TLS_SLICE = 32768           # bytes of TCP given to OpenSSL at once
    TLS_RECORDS_AT_ONCE = 8     # and records
    TLS_UNASKED_MAX = 65536     # bytes OpenSSL may write of its own to a peer that takes nothing
    CLIENT_HELLO_MAX = 32768    # bytes; a real one has no more than a few thousand
    CLIENT_HELLO_RECORDS = 64   # it may be cut into; a real one has one or two
    PROXY_LINE_MAX = 107        # bytes of a PROXY header of version 1

cdef struct Slice:
    uint32_t start              # offset from the head's first byte
    uint32_t length

cdef struct Field:
    Slice name
    Slice value                 # blanks around it cut off
    int kind                    # HEADER_*
    uint32_t hash               # of its name, where `Connection` names any
    int next                    # index of the next field in the same bucket, or -1
    flag is_kept                # `Connection` cannot have it dropped
    flag is_dropped             # not passed on: hop-by-hop, or a handler has replaced or removed it
    flag is_plain               # one space behind the colon, CRLF behind the value: the line as the router writes it

cdef struct ChangedHeader:
    Slice value                 # in `ChangedHeaders.text`
    flag is_changed
    flag is_sent                # not removed

cdef struct Rule:
    const char* name            # lower case
    Py_ssize_t length
    Rule* next                  # behind it in `Rewriting.by_length`
    bint removes                # what a response has of this name
    const char* lines           # whole ones, for a response that has none of this name; may be empty
    Py_ssize_t lines_length
    const char* line            # the first of this name that the last call of `apply` has left or added; NULL for none

cdef struct Framing:
    int kind                    # FRAMING_*
    int state                   # CHUNK_*
    int digits                  # of the chunk size line so far
    int extension               # bytes of this chunk's extension so far
    int trailer_lines
    int64_t excess              # bytes of size lines beyond what chunks of any use need
    int64_t remaining           # bytes left in the body, or in the current chunk
    flag is_done                # the last byte of the body was seen
    flag forgives_blanks        # blanks between the size of a chunk and the end of its line
    flag has_blanks             # and there were some


cdef class Timed:
    cdef DeadlineQueue queue    # the queue it stands in, or None
    cdef Timed ahead            # neighbours in that queue
    cdef Timed behind
    cdef int64_t expires_ns     # CLOCK_MONOTONIC
    cdef void arm(self, DeadlineQueue queue) noexcept
    cdef void disarm(self) noexcept
    cdef on_deadline(self, DeadlineQueue queue)
    cdef int on_panic(self, object error) except -1

cdef class Reader(Timed):
    cdef RoundTripper tripper
    cdef object transport       # what is read from and written to, None before and after the connection
    cdef flag is_read_paused    # there is nowhere to put what would come
    cdef flag waits_for_turn    # it has had its share
    cdef flag is_read_stopped   # what the transport was told last
    cdef flag is_heavy          # what it read last has taken long
    cdef bytes unread           # received, and left for the next turn
    cdef int64_t begun_ns       # CLOCK_MONOTONIC, of a large read or a turn while it is worked on; otherwise 0
    cdef int keep_for_turn(self, bytes data) except -1
    cdef bint must_wait(self) noexcept
    cdef void begin_read(self, Py_ssize_t size) noexcept
    cdef int end_read(self, Py_ssize_t size) except -1
    cdef bint is_share_spent(self) noexcept
    cdef int let_read(self, bint wanted) except -1
    cdef int wait_for_turn(self) except -1
    cdef int take_turn(self) except -1
    cdef int on_turn(self) except -1
    cdef int _apply(self) except -1

cdef class Turns:
    cdef object loop
    cdef object waiting             # deque of Reader
    cdef flag is_called             # the loop will call
    cdef int arrivals               # connections that have begun
    cdef int64_t arrivals_since     # CLOCK_MONOTONIC
    cdef flag has_arrival           # one has begun since the last turns
    cdef object dial_routes         # deque of names: those with an entry in `dials`, in the order of their turns
    cdef dict dials                 # name of a route (bytes) -> deque of Exchange that wait to dial
    cdef int64_t last_dial_ns       # CLOCK_MONOTONIC of the last dial for a new client
    cdef int add(self, Reader reader) except -1
    cdef bint may_dial(self) noexcept
    cdef int add_dial(self, Exchange exchange) except -1
    cdef Exchange _take_dial(self)
    cdef int _dial(self, int64_t until) except -1
    cdef int add_arrival(self, Reader reader) except -1
    cdef int _call(self) except -1
    cdef int clear(self) except -1

cdef class Outlet(Reader):
    cdef int descriptor         # of the TCP socket below it, -1 for none
    cdef flag is_direct         # there is nothing between the two
    cdef flag may_wait          # bytes may wait in `transport`
    cdef object error           # that a write to the socket has met
    cdef int attach(self, object tcp) except -1
    cdef object detach(self, object error)
    cdef int write_out(self, object data) except -1
    cdef int write_rendered(self, const char* end) except -1
    cdef int write_parts(self, list parts) except -1
    cdef int _leave_to_transport(self, object data) except -1
    cdef Py_ssize_t _send_now(self, const char* data, Py_ssize_t size) except -1
    cdef int fail(self, object error) except -1
    cdef int close_transport(self) except -1
    cdef int abort_transport(self) except -1

cdef class Inlet(Outlet):
    cdef int reads              # that the transport has made
    cdef flag is_polled         # it is read past the transport
    cdef flag is_ready          # there may be something to read, and reading is stopped
    cdef flag is_ended          # the peer sends no more
    cdef int on_data(self, bytes data) except -1
    cdef int on_ready(self, bint may_have_ended) except -1
    cdef int _read_past_transport(self) except -1
    cdef int _on_nothing(self, Py_ssize_t received) except -1

cdef enum:
    POLLED_AT_ONCE = 64

cdef class SocketPoll:
    cdef object loop
    cdef int descriptor             # of the epoll instance, -1 while nobody is in it
    cdef set members                # of Inlet
    cdef object postponed           # deque of Inlet that are to be read though the kernel says nothing new
    cdef flag is_called             # the loop will call
    cdef int at                     # `events[at:count]` are not worked on yet
    cdef int count
    cdef epoll_event[POLLED_AT_ONCE] events
    cdef bint add(self, Inlet inlet) except -1
    cdef int forget(self, Inlet inlet) except -1
    cdef int read_later(self, Inlet inlet) except -1
    cdef int _call(self) except -1
    cdef int _read_event(self, epoll_event* event) except -1
    cdef int _read(self, Inlet inlet, bint may_have_ended) except -1
    cdef bint _open(self) except -1
    cdef int close(self) except -1

cdef class DeadlineQueue:
    cdef int64_t timeout_ns     # 0: nobody ever stands here
    cdef int64_t looked_ns      # CLOCK_MONOTONIC, of the last look
    cdef Timed first            # waits longest
    cdef Timed last
    cdef expire(self, int64_t now_ns)

cdef class Judge:
    cdef object parser_feed     # bound httptools feed_data; None once discarded
    cdef Judge below            # in the store
    cdef readonly flag head_complete
    cdef readonly flag message_complete
    cdef flag upgraded          # llhttp left HTTP behind the head: not to be used again
    cdef str reason             # why it refused
    cdef bint accepts(self, object data) except -1
    cdef void discard(self) noexcept

cdef class JudgeStore:
    cdef bint for_requests
    cdef Judge top
    cdef int count
    cdef Judge borrow(self)
    cdef void take_back(self, Judge judge) noexcept

# What a kind of failure means; the rows are in core/failures.pxi.
cdef struct FailureRow:
    int status                  # answered to the client when no attempt is left
    const char* body            # of that answer
    bint retriable              # another attempt may follow
    bint failable               # the endpoint is marked and passed over for a while
    bint prunable               # a TLS endpoint is removed for everybody
    int counter                 # COUNTER_* that goes up with the answer

cdef class Failure:
    cdef int kind               # FAILURE_*
    cdef str text               # as Gorouter prints it
    cdef bint is_retriable                      # here: by its kind, and by what of the request was sent
    cdef FailureRow* row(self) noexcept

cdef class Head:
    cdef const char* base       # first byte of the scanned head
    cdef Field* fields
    cdef int count
    cdef int capacity
    cdef int first[HEADER_KINDS]    # index of the first field of a kind, or -1
    cdef int seen[HEADER_KINDS]     # how many there are
    cdef unsigned char named[HEADER_KINDS]  # whether `Connection` has named the kind: what the router would add is left out
    cdef Py_ssize_t length      # bytes up to and with the empty line
    cdef Slice start_line       # without its line end
    cdef Slice method
    cdef Slice target
    cdef int status
    cdef int major
    cdef int minor
    cdef bint has_bare_lf
    cdef bint has_bad_line      # a line that is no field
    cdef bint is_crowded        # more fields than allowed; those beyond are not in `fields`
    cdef frozenset kept_names   # lower-case names `Connection` cannot have dropped; None for none
    cdef Verdict scan(self, const char* data, Py_ssize_t size, int max_fields) except VERDICT_ERROR
    cdef int _grow(self) except -1
    cdef Verdict slice_request_line(self) noexcept
    cdef Verdict slice_status_line(self) noexcept
    cdef Verdict _slice_version(self, const char* text, Py_ssize_t length) noexcept
    cdef bint has(self, int kind) noexcept
    cdef Slice value_of(self, int kind) noexcept
    cdef bint passes_on(self, int kind) noexcept
    cdef bytes text_of(self, int kind)
    cdef bytes field_text(self, int index)
    cdef bint value_is(self, int kind, const char* lower) noexcept
    cdef bint has_token(self, int kind, const char* lower) noexcept
    cdef bint asks_for_tunnel(self) noexcept
    cdef bint wants_keep_alive(self) noexcept
    cdef int64_t content_length(self) noexcept
    cdef char* put_fields(self, char* out, const unsigned char* is_own) noexcept
    cdef void drop(self, int kind, bint only_empty=*) noexcept
    cdef int drop_hop_by_hop(self) except -1
    cdef int _drop_named_by_connection(self) except -1
    cdef int _drop_other_names(self, int others) except -1
    cdef int _drop_named(self, const char* name, Py_ssize_t length, const int* buckets, int last) noexcept
    cdef bint is_dropped(self, int kind) noexcept
    cdef bytes stand_in(self, bytes raw, bint is_request)
    cdef bint has_raw_target(self) noexcept
    cdef bint has_broken_escape(self) noexcept
    cdef Verdict blame(self) noexcept

cdef class Settings:
    cdef readonly int max_attempts              # per request (spec 5.1)
    cdef readonly double dial_timeout           # seconds, as all timeouts; 0 = none
    cdef readonly double tls_handshake_timeout
    cdef readonly double endpoint_timeout       # a whole attempt with its body
    cdef readonly double frontend_idle_timeout  # client between requests
    cdef readonly double read_header_timeout    # 0: frontend_idle_timeout holds for heads too
    cdef readonly double proxy_header_timeout   # until it is clear that a connection has no PROXY header (spec 8.1)
    cdef readonly double backend_idle_timeout
    cdef readonly double route_patience         # how long a request waits for a route that is not there; 0: not at all
    cdef readonly double half_close_timeout     # for an answer to begin to a client that sends no more, and may have left
    cdef readonly double tunnel_silence_timeout  # of one side of a tunnel when the other has ended
    cdef readonly double closing_timeout        # for a peer to take what was written, where no deadline ends its exchange
    cdef readonly double keep_alive_probe_interval  # of TCP towards backends; 0 or less: none
    cdef readonly bint backend_keep_alive
    cdef readonly int max_idle_per_endpoint     # connections
    cdef readonly int max_request_head          # bytes; the soft limit, of handler 16
    cdef Py_ssize_t max_received_head           # bytes, where the server gives up
    cdef readonly int max_request_headers       # fields
    cdef readonly int max_response_head         # bytes
    cdef readonly int max_response_headers      # fields
    cdef readonly int max_buffered              # bytes held per direction before reading stops
    cdef readonly bint empty_pool_503           # answer 503, not 404, where a route has no endpoints left
    cdef readonly int64_t max_conns             # requests in flight per endpoint; 0 = any number
    cdef readonly str balancing_algorithm       # one of ALGORITHMS, for routes that have none of their own
    cdef readonly str az_preference             # none, locally-optimistic
    cdef bint prefers_local
    cdef readonly str zone                      # the router's own
    cdef readonly double failure_memory         # seconds a failure mark lasts
    cdef int64_t failure_memory_ns
    cdef readonly tuple sticky_cookie_names     # of bytes
    cdef readonly bint sticky_for_negotiate
    cdef readonly bint secure_cookies
    cdef readonly bint keeps_sticky_metadata    # sticky sessions of later Gorouters (spec 9.3)
    cdef readonly bint observes_requests        # histograms of lookup, router and response times
    cdef readonly bint observes_apps            # histogram by source_id
    cdef readonly bint observes_routes          # histogram by route
    cdef readonly bint traces_zipkin            # B3 headers
    cdef readonly bint traces_w3c               # traceparent, tracestate
    cdef readonly str w3c_tenant_id
    cdef bytes tracestate_key                   # of the router's own entry
    cdef readonly object backend_tls            # ssl.SSLContext for TLS endpoints
    cdef bytes healthcheck_user_agent           # who asks for the router's health with it, gets it
    cdef bytes trace_key                        # X-Vcap-Trace with it asks for trace headers; empty: nobody may
    cdef bytes local_ip                         # the router's, for those
    cdef readonly bint refuses_client_ip        # a request whose Host is its client's address has none (spec 4.2)
    cdef readonly str forwarded_client_cert     # always_forward, forward, sanitize_set
    cdef readonly bint forces_proto_https       # X-Forwarded-Proto is https, whatever it was
    cdef readonly bint sanitizes_proto          # X-Forwarded-Proto of clients does not count
    cdef readonly frozenset hop_by_hop_filter   # lower-case names `Connection` cannot have stripped
    cdef Rewriting rewriting                    # of response headers, or None
    cdef Py_ssize_t rewriting_room              # bytes a response head may grow by it
    cdef readonly RouteServices route_services
    cdef readonly object render_error           # callable(status, status text, message, headers) -> HTML; None: plain text
    cdef readonly object resolve                # coroutine of a host -> list of IP addresses; None: the event loop resolves

cdef class Rewriting:
    cdef list names                             # keep the bytes of the rules alive, as the next
    cdef list lines
    cdef Py_ssize_t added_size                  # bytes that `apply` adds at most
    cdef Rule* rules                            # one per name
    cdef Rule* by_length[RULE_LENGTHS]          # the first of those whose length is this modulo RULE_LENGTHS, or NULL
    cdef Rule* date
    cdef Rule* router_error
    cdef Rule* _rule_of(self, const char* name, Py_ssize_t length) noexcept
    cdef char* apply(self, char* start, char* end) noexcept

cdef class RouteServices:
    cdef object signer                          # callables sign and validate (_core.pyi); None: route services are off
    cdef readonly int max_attempts              # per request, at least 1
    cdef bint recommends_https                  # to come back by
    cdef bint is_strict                         # signatures count on routes without a service too
    cdef bint allows_websockets
    cdef object tls                             # ssl.SSLContext for route services
    cdef Endpoint hairpin                       # the router's own listener for services that are its apps; None: all are outside
    cdef object hairpin_tls                     # ssl.SSLContext for that
    cdef object is_hairpin_host                 # callable(host) -> bool; None: any may be
    cdef object is_blocked                      # callable(ip) -> bool: not to be connected to; None: all may be
    cdef dict known                             # URL -> RouteService, of those visited lately
    cdef RouteService at(self, str url)
    cdef object tls_of(self, Endpoint endpoint)

cdef class RouteService:
    cdef str url                                # as registered
    cdef bytes authority                        # of the Host header
    cdef bytes path                             # escaped
    cdef bytes target                           # path and query
    cdef Endpoint endpoint                      # where it is dialled

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
    cdef int* used                              # by slot, 1 after an attempt until somebody asks
    cdef double bounds[HISTOGRAM_KINDS][HISTOGRAM_BOUNDS]
    cdef int bound_counts[HISTOGRAM_KINDS]
    cdef int first_rows[HISTOGRAM_KINDS]
    cdef int64_t* column(self, int worker) noexcept
    cdef int64_t* _cells(self, int worker, int kind, int row) noexcept
    cdef int64_t _count_of(self, int worker, int index) noexcept
    cdef void observe(self, int kind, int row, double value) noexcept
    cdef int* _own(self, int worker) noexcept

cdef class Endpoint:
    cdef bytes address_bytes                    # host:port, its identity
    cdef bytes headers                          # the X-Cf-* lines of every request to it; the next three point into it
    cdef Slice app
    cdef Slice instance                         # empty without an instance id, though the header then has the address
    cdef Slice index
    cdef readonly int port
    cdef readonly bint tls
    cdef readonly bint is_http2
    cdef bint is_route_service                  # no backend: dialled anew for each request
    cdef str san                                # server_cert_domain_san; None where it is the instance id
    cdef readonly str availability_zone
    cdef readonly str process_id
    cdef readonly str component
    cdef ConnectionPool connections             # None until the first request
    cdef Stats stats                            # keeps the mapping below alive; None: the counts are its own
    cdef int* total_in_flight                   # attempts of all workers that wait for their response head
    cdef int* own_in_flight                     # those of this worker
    cdef int64_t* failed_at_ns                  # CLOCK_MONOTONIC of the failure mark, 0 without one
    cdef short component_row                    # of its labels in the histograms
    cdef short source_row
    cdef int* used                              # set by every attempt
    cdef int private_in_flight[2]
    cdef int private_used
    cdef int64_t private_failed_at_ns
    cdef bint reserve(self, int64_t limit) noexcept
    cdef void unreserve(self) noexcept
    cdef str _cut(self, Slice text)
    cdef bint has_text(self, Slice which, bytes text) noexcept
    cdef bint is_instance(self, bytes identity) noexcept
    cdef bytes cookie_identity(self)
    cdef str certificate_name(self)
    cdef ConnectionPool connection_pool(self)
    cdef int take_over(self, Endpoint predecessor) except -1

cdef class EndpointPool:
    cdef bytes name                             # its URI as registered first, case kept
    cdef readonly list endpoints                # of Endpoint, in registration order
    cdef readonly str route_service_url
    cdef readonly str algorithm                 # of this route; None or "" for the default
    cdef Py_ssize_t cursor                      # round-robin, -1 before the first request
    cdef short latency_row                      # of the histogram by route; 0 for all that have none of their own
    cdef bint is_thrown_away                    # made for one request (spec 3.8): not in the table
    cdef int put(self, Endpoint endpoint) except -1
    cdef bint remove(self, bytes address) except -1
    cdef Py_ssize_t find(self, bytes address) except -2
    cdef Endpoint select(self, Exchange exchange)
    cdef bint _is_least_connection(self, Settings settings) except -1
    cdef int tell_of_algorithm(self, Exchange exchange) except -1
    cdef Endpoint find_sticky(self, bytes identity)
    cdef Endpoint _round_robin(self, Exchange exchange, Settings settings)
    cdef Endpoint _least_connection(self, Settings settings, bint is_first)
    cdef bint has_room(self, Settings settings) noexcept
    cdef int _forget_marks(self) noexcept

cdef class RouteNode:
    cdef dict children                          # segment (bytes) -> RouteNode; None for a leaf
    cdef EndpointPool pool

cdef class RouteTable:
    cdef RouteNode root
    cdef Py_ssize_t size                        # routes
    cdef EndpointPool find(self, const char* host, Py_ssize_t host_length, const char* path, Py_ssize_t path_length)
    cdef EndpointPool _pool_of(self, str uri)
    cdef EndpointPool _match(self, const char* key, Py_ssize_t length)

cdef class ConnectionPool:
    cdef list idle                              # of BackendConnection, the freshest last
    cdef BackendConnection acquire(self)
    cdef int release(self, BackendConnection connection) except -1
    cdef int evict(self, BackendConnection connection) except -1

cdef class AccessLog:
    cdef object sink                            # callable(bytes)
    cdef char* batch
    cdef Py_ssize_t size                        # bytes gathered
    cdef Py_ssize_t capacity
    cdef bint is_json
    cdef bint logs_refused                      # requests that came to no handler have lines
    cdef bint hides_forwarded_for
    cdef bint hides_source
    cdef int redaction                          # of queries: index of REDACTIONS
    cdef bytes extra_fields                     # a FIELD_* in each
    cdef list extra_headers                     # of LoggedHeader
    cdef Py_ssize_t extra_room                  # bytes of the latter besides their values
    cdef Py_ssize_t room(self, Exchange exchange) except -1
    cdef char* _put_named(self, char* out, Exchange exchange) except NULL
    cdef int reserve(self, Py_ssize_t size) except -1
    cdef int record(self, Exchange exchange) except -1

cdef class ChangedHeaders:
    cdef ChangedHeader headers[CHANGED_KINDS]   # by kind from FIRST_CHANGED on
    cdef char* text                             # their values
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity
    cdef ChangedHeader* of(self, int kind) noexcept
    cdef int set(self, int kind, const char* value, Py_ssize_t length) except -1

cdef class LoggedHeader:
    cdef bytes name                             # lower case
    cdef int kind                               # HEADER_*
    cdef bytes label                            # what stands before its value in a text line
    cdef bytes key                              # in a JSON object
    cdef Py_ssize_t size(self) except -1
    cdef Slice find(self, Head head) noexcept

cdef class StickyAttributes:
    # With their `; ` in front, empty where there is nothing to say.
    cdef bytes expires
    cdef bytes max_age
    cdef bytes same_site
    cdef bytes partitioned
    cdef bint is_secure
    cdef int64_t expires_at                     # Unix time of `expires`
    cdef int64_t ends_at                        # Unix time `max_age` leads to; -1: the cookie is deleted

    @staticmethod
    cdef StickyAttributes of_session(bytes text, bint copies_age)
    cdef int set_age(self, int64_t seconds) except -1
    cdef int set_expiry(self, object at) except -1
    cdef bytes metadata(self)

cdef class ContinueWait(Timed):
    cdef Exchange exchange

cdef class Exchange(Timed):
    # the two sides
    cdef RoundTripper tripper
    cdef ClientConnection client
    cdef BackendConnection backend              # dialled or acquired for the current attempt
    # the request
    cdef int64_t received_ns                    # CLOCK_MONOTONIC, for durations
    cdef int64_t received_wall_ns               # CLOCK_REALTIME, for the log and X-Request-Start
    cdef int64_t proxy_started_ns               # begin of the first attempt, 0 without one
    cdef int64_t finished_ns
    cdef bytes head                             # as received; the slices below point into it
    cdef bytes refused_protocol                 # what a refused request says it speaks, "-" for nothing; None for all others
    cdef Slice method
    cdef Slice host                             # the effective one: Host, or an absolute target's authority
    cdef Slice path                             # target in origin form, query included; empty for `http://host`
    cdef Slice referer
    cdef Slice user_agent
    cdef Slice forwarded_for                    # as received
    cdef Slice forwarded_proto                  # as received
    cdef Slice upgrade
    cdef Slice sent_forwarded_for               # points into `prepared`
    cdef Py_ssize_t trace_id_length             # 16 or 32; 0: the trace has no name yet
    cdef ChangedHeaders changed                 # what handlers set and removed; None: nothing
    cdef bytes logged_values                    # Slices of the access log's extra headers as received; None without them
    cdef str signed_url                         # what a sound X-CF-Proxy-Signature says; None without one
    cdef object signature_error                 # why it is not sound; None without one
    cdef RouteService service                   # it visits; None: it goes to a backend
    cdef bytes prepared                         # outgoing head up to the endpoint's own headers
    cdef int64_t bytes_received                 # of body
    cdef list held                              # framed body bytes no backend has taken yet
    cdef Py_ssize_t held_size
    cdef ContinueWait continue_wait
    cdef char request_id[36]
    cdef char trace_id[32]                      # hex digits
    cdef char span_id[16]                       # hex digits
    cdef int minor                              # of the client's HTTP/1.x
    cdef int request_framing                    # FRAMING_* towards the backend
    cdef flag has_semicolon                     # in its target
    cdef flag is_head
    cdef flag is_idempotent                     # by method or key header (spec 5.4)
    cdef flag sends_zero_length                 # POST, PUT, PATCH: `Content-Length: 0` without a body
    cdef flag wants_upgrade
    cdef flag wants_websocket
    cdef flag is_proto_set                      # X-Forwarded-Proto is the router's
    cdef flag is_trusted_return                 # it came from a route service, of whatever route
    cdef flag is_return                         # it came from the service of its own route
    cdef flag lacks_scheme                      # `prepared` has a target that begins with `//`, for the endpoint's scheme
    cdef flag is_proto_https                    # and this is what it says
    cdef flag is_traced                         # X-Vcap-Trace with the trace key: the response tells who served
    cdef flag closes_backend                    # `Connection: close` towards the backend
    cdef flag expects_continue
    cdef int interims                           # interim responses so far
    cdef flag is_body_wanted                    # False while `Expect: 100-continue` holds the body back
    cdef flag is_request_done                   # the client sent all of it
    # the attempts
    cdef EndpointPool pool
    cdef Endpoint endpoint                      # of the current attempt
    cdef Py_ssize_t cursor                      # round-robin position of this request, -1 before the first attempt
    cdef set tried                              # addresses of failed attempts
    cdef Failure failure                        # of the last failed attempt
    cdef bytes sticky                           # instance id the client wants back to, or None
    cdef bytes sticky_metadata                  # its `__VCAP_ID_META__`, or None
    cdef int64_t last_failed_ns                 # end of the last failed attempt
    cdef int64_t dial_started_ns                # of the current attempt; 0 where it needed no dial
    cdef int64_t dialled_ns
    cdef int64_t secured_ns                     # end of the TLS handshake
    cdef int64_t dial_failed_ns                 # end of a dial, or of its handshake, that came to nothing
    cdef str local_address                      # ip:port of our end
    cdef int attempt                            # 1-based
    cdef int failed_attempts
    cdef flag must_stick                        # to that one or none (Negotiate)
    cdef flag is_head_sent                      # to the current backend
    cdef flag was_head_sent                     # in the attempt that failed last
    cdef flag is_first                          # on its client's connection
    cdef flag waits_to_dial                     # in `Turns.dials`
    cdef flag is_resent                         # over another connection, after a kept one was lost in this attempt
    cdef flag is_counted                        # in its endpoint's in_flight
    # the response
    cdef int64_t bytes_sent                     # of body
    cdef bytes router_error                     # X-Cf-RouterError of the final response
    cdef int status
    cdef int response_framing                   # FRAMING_* towards the client
    cdef flag is_answered                       # a backend's response head has come
    cdef flag is_response_started
    cdef flag is_response_done
    cdef flag is_broken_off                     # in the middle of the response, or by a fault of ours
    cdef flag is_tunnel
    cdef flag is_half_closed
    cdef flag is_finished
    cdef int read_head(self, bytes raw, Head head) except -1
    cdef int set_framing(self, int framing, Head head) except -1
    cdef bint is_replayable(self) noexcept
    cdef bint can_take_body(self) noexcept
    cdef int take_body(self, bytes framed, int64_t payload, bint is_last) except -1
    cdef int send_request(self) except -1
    cdef bytes take_held(self)
    cdef int open_body(self) except -1
    cdef int on_interim(self, Head head) except -1
    cdef char* _put_fields(self, char* out, Head head) noexcept
    cdef char* _put_router_fields(self, char* out, Head head) noexcept
    cdef void _drop_trace_fields(self, Head head) noexcept
    cdef int _on_answer(self, int status) except -1
    cdef char* render_response_head(self, Head head, int framing, Py_ssize_t room) except NULL
    cdef int switch_protocols(self, Head head) except -1
    cdef int refuse_switch(self) except -1
    cdef int on_response_end(self) except -1
    cdef int on_backend_lost(self, Failure failure, bint was_reused, bint got_bytes) except -1
    cdef int on_client_gone(self, object error) except -1
    cdef int _tell_of_broken_stream(self, object error) except -1
    cdef str request_id_text(self)
    cdef int tell(self, int level, str message, dict data) except -1
    cdef int detach_backend(self) except -1
    cdef int release_count(self) noexcept
    cdef int finish(self) except -1
    cdef int _count(self) except -1

cdef class RouteWaits:
    cdef double patience                        # seconds, at most: half of it is certain
    cdef Turns turns
    cdef dict earlier                           # ClientConnection -> None
    cdef dict later
    cdef object timer
    cdef int add(self, ClientConnection client) except -1
    cdef int on_change(self, RouteTable table) except -1
    cdef int _let_go(self, ClientConnection client) except -1
    cdef int _set_timer(self) except -1
    cdef int clear(self) except -1


cdef class RoundTripper:
    cdef RouteTable table
    cdef Settings settings
    cdef AccessLog access_log
    cdef object event_log                       # callable(level, message, data) or None
    cdef object table_log                       # the same, for what is about the pools of the table
    cdef object on_prune                        # callable(uri, address) or None: an endpoint was removed for good
    cdef object loop
    cdef object tick_handle
    cdef int64_t ticked_ns                      # CLOCK_MONOTONIC of the last tick
    cdef int64_t wall_offset_ns                 # CLOCK_REALTIME less CLOCK_MONOTONIC, as of then
    cdef int late_ticks                         # in a row
    cdef int64_t starved_ns                     # CLOCK_MONOTONIC, when a want of descriptors was told of last
    cdef int64_t starved_dials                  # since then
    cdef int starved_errno                      # 0: nothing to tell
    cdef bint tells_debug                       # lines of LOG_DEBUG are wanted: nobody makes them otherwise
    cdef bint is_healthy                        # what health checks by User-Agent are told
    cdef bint is_draining                       # connections are closed with their next response
    cdef bint closes_idle                       # and those that become idle all the same
    cdef set clients                            # open ClientConnections
    cdef set backends                           # BackendConnections, from their dial on
    cdef set resetting                          # clients that are reset once they have what was written
    cdef Turns turns
    cdef SocketPoll poll            # those that are read past the loop
    cdef RouteWaits route_waits
    cdef set arrivals                           # connections that no client has yet: ClientTLSTransports, ProxyHeaderReaders
    cdef DeadlineQueue proxy_headers
    cdef DeadlineQueue header_reads
    cdef DeadlineQueue half_closes              # clients that send no more, until their answer begins
    cdef DeadlineQueue tunnel_silences          # clients whose tunnels have one side that has ended
    cdef DeadlineQueue client_idles
    cdef DeadlineQueue lingerings
    cdef DeadlineQueue closings
    cdef DeadlineQueue continue_waits
    cdef DeadlineQueue dials
    cdef DeadlineQueue handshakes               # of TLS with backends
    cdef DeadlineQueue attempts
    cdef DeadlineQueue stalls
    cdef DeadlineQueue backend_idles
    cdef Stats shared                           # keeps `counters` alive
    cdef int64_t* counters                      # this worker's, by COUNTER_*
    cdef int _reset_delivered(self) except -1
    cdef int _look_for_descriptors(self) except -1
    cdef int on_starved_dial(self, int number) except -1
    cdef int tell(self, int level, str message, dict data) except -1
    cdef EndpointPool find(self, const char* host, Py_ssize_t host_length, const char* path, Py_ssize_t path_length)
    cdef int attempt(self, Exchange exchange) except -1
    cdef int send(self, Exchange exchange, bint is_turn=*) except -1
    cdef int after_failure(self, Exchange exchange, Failure failure, bint was_reused, bint got_bytes) except -1
    cdef int _retry_or_answer(self, Exchange exchange, Failure failure, bint was_reused, bint got_bytes) except -1
    cdef int on_client_gone(self, Exchange exchange) except -1
    cdef int _punish(self, Exchange exchange, Failure failure) except -1
    cdef int _tell_of_endpoint(self, str message, Exchange exchange) except -1
    cdef int _tell_of_attempt(self, Exchange exchange, str message, bint was_reused) except -1
    cdef int _tell_of_failure(self, Exchange exchange, bint was_reused) except -1

cdef class Connection(Inlet):
    cdef Judge judge                            # of the message being read
    cdef Exchange exchange                      # being served, or None: idle
    cdef Py_ssize_t unsent                      # bytes the peer had not taken when the wait for it to take some began
    cdef flag is_write_paused                   # the transport's buffer is full: the peer does not read
    cdef int on_connection(self) except -1
    cdef int on_full(self) except -1
    cdef int on_room(self) except -1
    cdef int drop_judge(self) except -1
    cdef int watch_stall(self) except -1
    cdef int unwatch_stall(self) except -1
    cdef bint is_stalled(self) except -1
    cdef Py_ssize_t count_unsent(self) except -1

cdef class BackendConnection(Connection):
    cdef Endpoint endpoint                      # it was dialled for
    cdef ConnectionPool home
    cdef object dialling                        # the Task, then the TLS handshake, until connected; `cancel` ends either
    cdef object raw                             # the TCP transport: `transport` itself, or what is below its TLS
    cdef str local_address                      # ip:port of our end
    cdef bytearray backlog                      # a response head that came in pieces
    cdef bytearray trailer
    cdef Framing framing                        # of the response
    cdef flag has_eof                           # the backend has ended behind that
    cdef flag is_in_body
    cdef flag is_repaired                       # the head is not as it came
    cdef flag is_reusable                       # by what the response said
    cdef flag has_bytes                         # of the current response
    cdef flag was_used                          # it has served an exchange before this one
    cdef flag is_closed
    cdef int _panic(self, Exchange exchange, object error) except -1
    cdef bint _on_eof(self, Exchange exchange) except -1
    cdef int _on_end(self, Exchange exchange, object error) except -1
    cdef int dial(self) except -1
    cdef int on_dialled(self, object transport) except -1
    cdef int on_dial_failed(self, Failure failure) except -1
    cdef bint has_ended(self) except -1
    cdef int send(self, bytes data) except -1
    cdef int release(self) except -1
    cdef int close(self) except -1
    cdef int abort(self) except -1
    cdef int _lose(self, Failure failure) except -1
    cdef int _refuse(self, str what) except -1
    cdef int _continue_head(self, bytes data) except -1
    cdef int _refuse_large_head(self) except -1
    cdef int _refuse_start(self, bytes data) except -1
    cdef Py_ssize_t _mend_head(self, bytes data, Py_ssize_t at, str what) except -2
    cdef int _consume(self, bytes data) except -1
    cdef int _go_on(self) except -1
    cdef Py_ssize_t _take_head(self, bytes data, Py_ssize_t at) except -2
    cdef Py_ssize_t _take_informational(self, Head head, Py_ssize_t at) except -2
    cdef Py_ssize_t _relay(self, bytes data, Py_ssize_t at, char* out) except -2
    cdef int _finish_until_close(self, Exchange exchange) except -1
    cdef int _end_response(self, Exchange exchange, bint has_more) except -1
    cdef str ends(self)

cdef class ClientConnection(Connection):
    cdef int64_t sent_before                    # bytes of the response, at the last look after its half-close
    cdef bytes ip
    cdef bytes address                          # ip:port
    cdef flag is_tls
    cdef bytes peer_certificate                 # the client's, DER, verified; None if it has shown none
    cdef Framing framing                        # of the body of the request being read
    cdef bytes pending                          # received, being walked
    cdef Py_ssize_t at                          # how far
    cdef bytearray backlog                      # received behind it, or an incomplete head
    cdef bytearray trailer
    cdef Py_ssize_t discarded                   # bytes thrown away since the answer
    cdef flag keep_alive
    cdef flag is_advancing                      # _advance is on the stack
    cdef flag is_discarding                     # reading the rest of a body nobody wants
    cdef flag is_lingering                      # the last answer is out; what comes is thrown away
    cdef flag is_closing
    cdef flag is_used                           # it has sent a request: no longer new
    cdef flag has_eof                           # the client half-closed behind pipelined requests
    cdef Exchange awaiting                      # what the request at `at` asks for, while that is awaited (RouteWaits)
    cdef flag has_awaited_route                 # in vain
    cdef bint _awaits_route(self, Exchange exchange) except -1
    cdef int _on_end(self, object error) except -1
    cdef int _watch_half_close(self) except -1
    cdef int _on_half_close_over(self) except -1
    cdef int set_address(self, bytes ip, int port) except -1
    cdef int send(self, object data) except -1
    cdef int send_rendered(self, const char* end) except -1
    cdef int send_parts(self, list parts) except -1
    cdef Py_ssize_t _unconsumed(self) noexcept
    cdef int _note_incomplete(self) except -1
    cdef int _gather(self, bytes data) except -1
    cdef int _work(self) except -1
    cdef int _advance(self) except -1
    cdef bint _begin(self) except -1
    cdef bint _take_body(self) except -1
    cdef bint _break_body(self) except -1
    cdef bint is_active(self) noexcept
    cdef bint is_idle(self) noexcept
    cdef bint has_unread(self) except -1
    cdef int on_body_room(self) except -1
    cdef int adjust_reading(self) except -1
    cdef int on_exchange_end(self) except -1
    cdef int end_message(self) except -1
    cdef int _discard(self, Py_ssize_t size) except -1
    cdef int send_last(self, bytes message) except -1
    cdef int _linger(self) except -1
    cdef int close_after_write(self) except -1
    cdef int abort_response(self, bint needs_reset) except -1
    cdef bint has_delivered(self) except -1
    cdef int reset(self) except -1
    cdef int abort(self) except -1

cdef class FrontDoor:
    cdef RoundTripper tripper
    cdef object context                         # ssl.SSLContext, or None: no TLS
    cdef tuple protocols                        # of ALPN, as bytes; empty: whatever the client offers
    cdef object admits                          # callable(ssl.SSLObject) -> bool, or None: whoever OpenSSL admits
    cdef bint reads_proxy_headers
    cdef object is_trusted_proxy                # callable(ip: str) -> bool, or None: everybody is
    cdef object open(self, ClientConnection client)

cdef class ProxyHeaderReader(Timed):
    cdef FrontDoor door
    cdef object transport                       # None once it is somebody else's
    cdef bytes backlog                          # received, and no header yet
    cdef int _refuse(self) except -1
    cdef int _leave(self) except -1
    cdef int _let_in(self, ClientConnection client, bytes data) except -1

cdef class TLSTransport(Inlet):
    cdef Connection owner                       # None: nobody's, any more
    cdef int stage                              # TLS_*
    cdef object context                         # when the handshake began: OpenSSL calls it to the end, unasked
    cdef object tls                             # ssl.SSLObject, from the handshake on, as its BIOs
    cdef object incoming                        # encrypted, from the peer
    cdef object outgoing
    cdef object read_record                     # bound methods of `tls`
    cdef object write_record
    cdef Py_ssize_t discarded                   # bytes thrown away behind the last words of either side
    cdef int record_head                        # bytes of a record's head that OpenSSL has been given
    cdef int record_length                      # what they say of its length
    cdef Py_ssize_t record_left                 # bytes of it that OpenSSL has not been given
    cdef Py_ssize_t unasked                     # bytes OpenSSL has written of its own since the peer took some last
    cdef flag is_write_paused                   # the peer does not take what is written as fast as it comes
    cdef flag has_end                           # the peer will send no more
    cdef flag is_cut                            # TCP has ended behind what is left for a turn
    cdef bint has_owner(self) noexcept
    cdef int forget(self) except -1
    cdef int begin_handshake(self, object context, bint is_server, object peer_name) except -1
    cdef int shake_hands(self) except -1
    cdef int open(self) except -1
    cdef int on_greeting(self, bytes data) except -1
    cdef int on_handshake(self) except -1
    cdef int on_handshake_failed(self, object error) except -1
    cdef int on_broken(self, object error) except -1
    cdef int _go_on_greeting(self, bytes data) except -1
    cdef Py_ssize_t _end_of_slice(self, bytes data, Py_ssize_t at) except -1
    cdef int _decrypt(self, bytes data) except -1
    cdef bint _read_records(self, list texts) except -1
    cdef int _encrypt(self, data) except -1
    cdef bint _flush_unasked(self) except -1
    cdef int _flush(self) except -1
    cdef bint _on_end(self) except -1
    cdef int _say_goodbye(self) except -1
    cdef int _discard(self, bytes data) except -1

cdef class ClientTLSTransport(TLSTransport):
    cdef FrontDoor door
    cdef object admits                          # of the door, when the handshake began
    cdef bytes greeting                         # a ClientHello that is not complete
    cdef int _refuse_plain_http(self, bytes data) except -1
    cdef int _refuse(self, bytes last_words) except -1
    cdef int _turn_away(self, bytes last_words) except -1
    cdef int _leave(self) except -1

cdef class BackendTLSTransport(TLSTransport):
    cdef object _reason(self, object error)
    cdef int _on_end_of_handshake(self, BackendConnection connection, object error) except -1
    cdef int _fail(self, Failure failure) except -1
