# routing: from Host and path to an endpoint.

cdef enum:
    FIT                         # to serve; otherwise it is
    UNFIT_FULL                  # at `max_conns`
    UNFIT_DRAINING
    UNFIT_ELSEWHERE             # of another zone
    UNFIT_FAILED                # marked

cdef enum:
    MAGLEV_SLOTS = 3001         # as in Gorouter; a prime
    MAGLEV_FREE = 65535         # no endpoint has the slot yet
    LOOKS_AT_ONCE = 200000      # at slots, in half a millisecond; a thousand endpoints mostly need 30,000
    COUNTS_AT_ONCE = 32         # endpoints that a selection asks for their requests in flight

cdef enum:
    # What of a request is hashed.
    HASH_NOTHING
    HASH_HEADER
    HASH_COOKIE
    HASH_PATH
    HASH_CLIENT_ADDRESS

cdef enum:
    # In the order of POLICY_VERDICTS: whether a caller may reach an endpoint.
    POLICY_ADMITS
    POLICY_NO_CALLER            # nobody knows who it is
    POLICY_OTHER_ORGANIZATION
    POLICY_OTHER_SPACE
    POLICY_UNKNOWN_SCOPE
    POLICY_NO_SOURCES           # nobody may
    POLICY_OTHER_SOURCES        # others may

# An endpoint's own order of all slots.
cdef struct MaglevTurn:
    unsigned short at           # the slot that it wants next
    unsigned short step         # from one to the next


cdef class Endpoint:
    cdef bytes address_bytes                    # host:port, its identity
    cdef bytes headers                          # the X-Cf-* lines of every request to it; the next three point into it
    cdef Slice app
    cdef Slice instance                         # empty without an instance id, though the header then has the address
    cdef Slice index
    cdef readonly int port
    cdef readonly bint tls
    cdef readonly bint is_http2                 # it is spoken to in HTTP/2
    cdef bint is_route_service                  # no backend: dialled anew for each request
    cdef readonly bint is_draining              # it gets no requests but of sticky sessions, and those that name it
    cdef str san                                # server_cert_domain_san; None where it is the instance id
    cdef readonly str availability_zone
    cdef readonly str process_id
    cdef readonly str component
    cdef bytes envelope_tags                    # its tags as fields of an envelope of dropsonde; None without any
    cdef readonly RoutePolicy policy            # which callers may reach it; None: it does not say
    cdef ConnectionPool connections             # None until the first request
    cdef Stats stats                            # keeps the mapping below alive; None: the counts are its own
    cdef int* total_in_flight                   # attempts of all workers that wait for their response head
    cdef int* own_in_flight                     # those of this worker
    cdef int64_t* failed_at_ns                  # CLOCK_MONOTONIC of the failure mark, its last bits why; 0 without one
    cdef int64_t* last_failure                  # the mark that was set last, which stays when it is forgotten
    cdef int64_t* distrusted_at_ns              # CLOCK_MONOTONIC, when it has sent bytes that nobody asked for; 0: never
    cdef short component_row                    # of its labels in the histograms
    cdef short source_row
    cdef int* used                              # set by every attempt
    cdef int private_in_flight[2]
    cdef int private_used
    cdef int64_t private_failed_at_ns
    cdef int64_t private_last_failure
    cdef int64_t private_distrusted_at_ns
    cdef void mark(self, int failure_kind) noexcept
    cdef bint distrust(self, Settings settings) noexcept
    cdef bint reserve(self, int64_t limit) noexcept
    cdef void unreserve(self) noexcept
    cdef str _cut(self, Slice text)
    cdef bint has_text(self, Slice which, bytes text) noexcept
    cdef bint is_instance(self, bytes identity) noexcept
    cdef bytes cookie_identity(self)
    cdef str certificate_name(self)
    cdef str hash_identity(self)
    cdef ConnectionPool connection_pool(self)
    cdef int take_over(self, Endpoint predecessor) except -1

cdef class RoutePolicy:
    cdef readonly str scope                     # any, org, space, or what nobody knows
    cdef readonly tuple sources                 # str, as registered
    cdef dict ranks                             # source (bytes) -> its place among them
    cdef bytes organization                     # of the endpoints that have it; empty: unknown
    cdef bytes space
    cdef object __weakref__
    cdef int verdict_on(self, Caller caller) except -1
    cdef str source_of(self, Caller caller)

cdef class MaglevTable:
    cdef list members                           # of Endpoint, in the order of their identities
    cdef int count                              # of them
    cdef unsigned short slots[MAGLEV_SLOTS]     # positions in `members`, or MAGLEV_FREE
    cdef int filled                             # slots that are not free
    cdef int next                               # member whose turn it is
    cdef MaglevTurn* turns                      # by member
    cdef int* counts                            # requests in flight by member, as counted last; NULL: nobody has asked
    cdef int64_t total                          # their sum
    cdef int counted                            # member that is counted next
    cpdef bint fill(self, int looks=*) except -1
    cdef int64_t in_flight(self, int index) except -1
    cdef void _count(self, int index) noexcept

cdef class HashRouting:
    cdef int source                             # HASH_*
    cdef bytes name                             # of the header, in lower case, or of the cookie
    cdef int kind                               # HEADER_* of the header
    cdef double balance                         # more than so many times the average is too much for one; 0: nothing is
    cdef MaglevTable table                      # None until a request needs it
    cdef bint is_same_as(self, HashRouting other) noexcept
    cdef int on_change(self) except -1
    cdef bint is_ready(self, EndpointPool pool) except -1
    cdef Endpoint select(self, EndpointPool pool, Exchange exchange)
    cdef Endpoint choose(self, EndpointPool pool, Exchange exchange, bint is_logged, int* next_slot)
    cdef bint _may_take(self, EndpointPool pool, Exchange exchange, int index, bint is_logged) except -1

cdef class EndpointPool:
    cdef bytes name                             # its URI as registered first, case kept
    cdef readonly list endpoints                # of Endpoint, in registration order
    cdef readonly str route_service_url
    cdef readonly str algorithm                 # of this route; None or "" for the default
    cdef HashRouting hashing                    # None unless that is `hash`
    cdef Py_ssize_t cursor                      # round-robin, -1 before the first request
    cdef short latency_row                      # of the histogram by route; 0 for all that have none of their own
    cdef int slot                               # of RouteCounters; 0: it is not counted, or not in the table any more
    cdef flag is_thrown_away                    # made for one request (spec 3.8): not in the table
    cdef flag is_guarded                        # an endpoint has a policy; whoever has none then admits nobody
    cdef int put(self, Endpoint endpoint) except -1
    cdef bint remove(self, bytes address) except -1
    cdef int _note_policies(self) except -1
    cdef int _on_change(self) except -1
    cdef int set_hashing(self, HashRouting hashing) except -1
    cdef bint hashes(self, Exchange exchange) except -1
    cdef Py_ssize_t find(self, bytes address) except -2
    cdef Endpoint select(self, Exchange exchange)
    cdef bint _is_least_connection(self, Settings settings) except -1
    cdef int log_algorithm(self, Exchange exchange) except -1
    cdef Endpoint find_sticky(self, bytes identity)
    cdef Py_ssize_t _next_in_turn(self, Exchange exchange, Settings settings) noexcept
    cdef Py_ssize_t next_turn(self) noexcept
    cdef bint is_closed(self, Endpoint endpoint) noexcept
    cdef bint is_drained(self) noexcept
    cdef bint has_room(self, Settings settings) noexcept
    cdef bint is_exhausted_for(self, Exchange exchange) noexcept
    cdef int _forget_marks(self) noexcept

cdef class RouteNode:
    cdef dict children                          # segment (bytes) -> RouteNode; None for a leaf
    cdef EndpointPool pool

cdef class RouteTable:
    cdef RouteNode root
    cdef readonly RouteCounters counters        # where its routes count; None: nowhere
    cdef Py_ssize_t size                        # routes
    cdef bint is_guarded                        # there are, or have been, policies or mTLS domains: requests are checked for them
    cdef EndpointPool find(self, const char* host, Py_ssize_t host_length, const char* path, Py_ssize_t path_length)
    cdef EndpointPool _pool_of(self, str uri)
    cdef EndpointPool _find_key(self, char* key, Py_ssize_t host_length, Py_ssize_t path_length)
    cdef EndpointPool _match(self, const char* key, Py_ssize_t length)

cdef class RouteWaits:
    cdef double patience                        # seconds, at most: half of it is certain
    cdef Turns turns
    cdef dict earlier                           # FairReader -> its Exchange, which has not begun
    cdef dict later
    cdef object timer
    cdef int add(self, FairReader client, Exchange exchange) except -1
    cdef int on_change(self, RouteTable table) except -1
    cdef int _set_timer(self) except -1
    cdef int clear(self) except -1
