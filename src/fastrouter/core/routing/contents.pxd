# routing: from Host and path to an endpoint.

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
    cdef str san                                # server_cert_domain_san; None where it is the instance id
    cdef readonly str availability_zone
    cdef readonly str process_id
    cdef readonly str component
    cdef bytes envelope_tags                    # its tags as fields of an envelope of dropsonde; None without any
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
    cdef int log_algorithm(self, Exchange exchange) except -1
    cdef Endpoint find_sticky(self, bytes identity)
    cdef Endpoint _round_robin(self, Exchange exchange, Settings settings)
    cdef Endpoint _least_connection(self, Settings settings, bint is_first)
    cdef bint has_room(self, Settings settings) noexcept
    cdef bint is_exhausted_for(self, Exchange exchange) noexcept
    cdef int _forget_marks(self) noexcept

cdef class RouteNode:
    cdef dict children                          # segment (bytes) -> RouteNode; None for a leaf
    cdef EndpointPool pool

cdef class RouteTable:
    cdef RouteNode root
    cdef Py_ssize_t size                        # routes
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
