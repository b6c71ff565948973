# connections: the two sides: listeners and clients, dials and backends.

cdef enum:
    SERVER_HEAD_MAX = 1048576   # bytes of a request head that reaches the handlers, whatever their own limit is (spec 4.0)
    HEAD_SLOP = 4096            # bytes it may exceed that by
    RELAY_COPY_MAX = 16384      # bytes of body copied behind a head; more is written without copying
    DISCARD_MAX = 262144        # bytes of an unwanted request body that are read before the connection is given up
    REFUSED_LOOK_MAX = 2048     # bytes of a refused request that its log line is taken from
    HEADER_LIST_SLOP = 65536    # that the fields of HTTP/2 may have beside that
    LARGE_HEAD = 32768          # bytes of a request head beyond which it is large, and counts in LargeHeads
    INCOMPLETE_LOOK_MAX = 256   # of one that never came whole: the time of many may be over at once

cdef class IdleLimit:
    cdef readonly int64_t limit_ns              # the least time after which the backend has closed one; NO_LIMIT: none is known
    cdef readonly int64_t clear_ns              # that, less the margin
    cdef int64_t said_ns                        # that a response has named last; NO_LIMIT: none has
    cdef int64_t avoided_ns                     # for how long idle connections were avoided when a request was lost last
    cdef int64_t avoided_until_ns
    cpdef bint is_clear(self, int64_t idle_ns, int64_t now_ns) noexcept
    cpdef void on_end(self, int64_t idle_ns) noexcept
    cpdef void on_said(self, int64_t seconds) noexcept
    cpdef bint on_lost(self, int64_t idle_ns, int64_t took_ns, int64_t now_ns) noexcept
    cpdef bint is_refuted(self, int64_t idle_ns) noexcept
    cpdef void forget(self) noexcept
    cdef void _set(self, int64_t limit_ns) noexcept

cdef class ConnectionPool:
    cdef list idle                              # of BackendConnection, the freshest last
    cdef IdleLimit idle_limit
    cdef list resting                           # those that rest, in the order in which their rests end
    cdef BackendConnection _next(self)
    cdef int _take_out(self, BackendConnection connection) except -1
    cdef BackendSide acquire(self, Request request)
    cdef bint _may_end_now(self) except -1
    cdef int on_ended(self, BackendConnection connection) except -1
    cdef BackendSide new(self, DataPlane plane, Endpoint endpoint, Request request)
    cdef int release(self, BackendConnection connection) except -1
    cdef int evict(self, BackendConnection connection) except -1

cdef class Connection(SocketReader):
    cdef MessageValidator validator             # of the message being read
    cdef Exchange exchange                      # being served, or None: idle
    cdef Tunnel tunnel                          # what that has become, or None: messages go to and fro
    cdef Py_ssize_t unwritten                   # bytes the peer had not taken when the wait for it to take some began
    cdef flag is_write_paused                   # the transport's buffer is full: the peer does not read
    cdef int on_connection(self) except -1
    cdef int on_full(self) except -1
    cdef int on_room(self) except -1
    cdef int drop_validator(self) except -1
    cdef int watch_stall(self) except -1
    cdef int unwatch_stall(self) except -1
    cdef bint is_stalled(self) except -1
    cdef Py_ssize_t count_unwritten(self) except -1

cdef class LargeHead:
    cdef LargeHeads heads
    cdef Py_ssize_t size                        # bytes
    cdef bint resize(self, Py_ssize_t size, AcceptedConnection connection) except -1

cdef class LargeHeads:
    cdef Py_ssize_t limit                       # bytes; 0: none
    cdef int64_t* held                          # bytes, the gauge of this worker
    cdef Stats shared                           # keeps it alive
    cdef int64_t patience_ns                    # how long a head that is large may take to come, while others want its room
    cdef dict coming                            # AcceptedConnection -> ns, since when its head, not complete, is large; in order
    cdef bint admit(self, AcceptedConnection connection, Py_ssize_t size) except -1
    cdef LargeHead complete(self, AcceptedConnection connection, Py_ssize_t size)
    cdef int leave(self, AcceptedConnection connection) except -1
    cdef bint cut_oldest(self, AcceptedConnection newcomer) except -1

cdef class AcceptedConnection(Connection):
    cdef ClientIdentity identity
    cdef LargeHead large_head                   # the room of the head that is coming, if it is large
    cdef flag is_closing
    cdef int refuse_large_head(self) except -1
    cdef int on_accepted(self) except -1
    cdef object on_lost(self, object error)
    cdef int add_exchanges(self, list into) except -1
    cdef bint is_active(self) noexcept
    cdef bint is_idle(self) noexcept
    cdef int drain(self, bint closes_idle) except -1
    cdef int abort(self) except -1
    cdef bint has_unread(self) except -1

cdef class HTTP1BackendSide(BackendSide):
    cdef BackendConnection connection
    cdef BackendConnection _let_go(self)

cdef class HTTP1ClientSide(ClientSide):
    cdef ClientConnection connection

cdef class DialledConnection(Connection):
    cdef Endpoint endpoint                      # it was dialled for
    cdef ConnectionPool connection_pool
    cdef object dialling                        # the Task, then the TLS handshake, until connected; `cancel` ends either
    cdef object raw                             # the TCP transport: `transport` itself, or what is below its TLS
    cdef str local_address                      # ip:port of our end
    cdef flag is_closed
    cdef int dial(self) except -1
    cdef object tls_context(self)
    cdef int on_dialled(self, object transport) except -1
    cdef int on_secured(self) except -1
    cdef DialledConnection agreed(self, object tls)
    cdef int on_late_dial(self, DeadlineQueue queue) except -1
    cdef int on_dial_failed(self, Failure failure) except -1
    cdef Failure failure_of(self, object error)
    cdef bint has_ended(self) except -1
    cdef int abort(self) except -1
    cdef int stop(self) except -1
    cdef str ends(self)

cdef class BackendConnection(DialledConnection):
    cdef HTTP1BackendSide side                  # None at the end
    cdef bytearray backlog                      # a response head that came in pieces
    cdef bytearray trailer
    cdef Framing framing                        # of the response
    cdef flag has_eof                           # the backend has ended behind that
    cdef flag is_in_body
    cdef flag is_repaired                       # the head is not as it came
    cdef flag is_reusable                       # by what the response said
    cdef flag has_bytes                         # of the current response
    cdef flag was_used                          # it has served an exchange before this one
    cdef int64_t idle_ns(self, int64_t now_ns) noexcept
    cdef int _note_loss(self, Exchange exchange) except -1
    cdef int64_t rests_until_ns                 # CLOCK_MONOTONIC, once it stands among those that rest
    cdef int _panic(self, Exchange exchange, object error) except -1
    cdef bint _on_eof(self, Exchange exchange) except -1
    cdef int _on_end(self, Exchange exchange, object error) except -1
    cdef int take_over(self, DialledConnection dialled, Exchange exchange) except -1
    cdef int release(self) except -1
    cdef bint is_usable(self) except -1
    cdef int _look_for_unsolicited(self) except -1
    cdef int on_unsolicited(self, str where) except -1
    cdef int close(self) except -1
    cdef int _lose(self, Failure failure) except -1
    cdef int _reject(self, str what) except -1
    cdef int _continue_head(self, bytes data) except -1
    cdef int _reject_large_head(self) except -1
    cdef int _reject_start(self, bytes data) except -1
    cdef Py_ssize_t _mend_head(self, bytes data, Py_ssize_t at, str what) except -2
    cdef int _consume(self, bytes data) except -1
    cdef int _go_on(self) except -1
    cdef Py_ssize_t _take_head(self, bytes data, Py_ssize_t at) except -2
    cdef Py_ssize_t _take_informational(self, Head head, Py_ssize_t at) except -2
    cdef Py_ssize_t _relay(self, bytes data, Py_ssize_t at) except -2
    cdef bytes _mended_chunks(self, Framing* before, bytes chunks, Py_ssize_t trailer_before)
    cdef Py_ssize_t _reject_relayed(self) except -2
    cdef int _finish_until_close(self, Exchange exchange) except -1
    cdef int _end_response(self, Exchange exchange, bint has_more) except -1

cdef class ClientConnection(AcceptedConnection):
    cdef int64_t written_before                 # bytes of the response, at the last look after its half-close
    cdef HTTP1ClientSide side                   # while it is connected
    cdef Framing framing                        # of the body of the request being read
    cdef bytes pending                          # received, being walked
    cdef Py_ssize_t at                          # how far
    cdef bytearray backlog                      # received behind it, or an incomplete head
    cdef bytearray trailer
    cdef Py_ssize_t discarded                   # bytes thrown away since the response
    cdef flag keep_alive                        # by what the head of the request being read says
    cdef flag is_advancing                      # _advance is on the stack
    cdef flag is_discarding                     # reading the rest of a body nobody wants
    cdef flag is_lingering                      # the last response is out; what comes is thrown away
    cdef flag is_used                           # it has sent a request: no longer new
    cdef flag has_eof                           # the client half-closed behind pipelined requests
    cdef flag awaits_route                      # the request at `at` does (RouteWaits)
    cdef flag has_awaited_route                 # in vain
    cdef bint _awaits_route(self, Exchange exchange, Head head) except -1
    cdef int _on_end(self, object error) except -1
    cdef int _watch_half_close(self) except -1
    cdef int _on_half_close_over(self) except -1
    cdef int write(self, object data) except -1
    cdef bytes begin_tunnel(self, Tunnel tunnel)
    cdef Py_ssize_t _unconsumed(self) noexcept
    cdef int _note_incomplete(self) except -1
    cdef int _gather(self, bytes data) except -1
    cdef int _work(self) except -1
    cdef int _advance(self) except -1
    cdef bint _begin(self) except -1
    cdef bint _take_body(self) except -1
    cdef bint _break_body(self) except -1
    cdef int on_body_room(self) except -1
    cdef int adjust_reading(self) except -1
    cdef int on_exchange_end(self, bint is_last) except -1
    cdef int end_message(self) except -1
    cdef int _discard(self, Py_ssize_t size) except -1
    cdef int write_last(self, bytes message) except -1
    cdef int _linger(self) except -1
    cdef int close_after_write(self) except -1
    cdef int abort_response(self, bint needs_reset) except -1
    cdef bint has_delivered(self) except -1
    cdef int reset(self) except -1

cdef class ListenerProtocol:
    cdef DataPlane plane
    cdef object context                         # ssl.SSLContext, or None: no TLS
    cdef tuple protocols                        # of ALPN, as bytes; empty: whatever the client offers
    cdef object is_allowed                      # callable(ssl.SSLObject) -> bool, or None: whoever OpenSSL accepts
    cdef bint knows_domains                     # TLS of clients that ask for a MutualTLSDomain is by its rules
    cdef bint reads_proxy_headers
    cdef object is_trusted_proxy                # callable(ip: str) -> bool, or None: everybody is
    cdef object open(self, ClientConnection client)

cdef class ProxyHeaderReader(Timed):
    cdef ListenerProtocol listener
    cdef object transport                       # None once it is somebody else's
    cdef bytes backlog                          # received, and no header yet
    cdef int _refuse(self) except -1
    cdef int _leave(self) except -1
    cdef int _let_in(self, ClientConnection client, bytes data) except -1

cdef class ClientTLSTransport(TLSTransport):
    cdef ListenerProtocol listener
    cdef object is_allowed                      # of the listener, when the handshake began
    cdef flag takes_http2                       # so did it, then
    cdef MutualTLSDomain domain                 # that was asked for; None: none
    cdef bytes server_name                      # by SNI, if the listener knows domains
    cdef bytes client_hello                     # a ClientHello that is not complete
    cdef int _refuse_plain_http(self, bytes data) except -1
    cdef int _refuse(self, bytes last_words) except -1
    cdef int _turn_away(self, bytes last_words) except -1
    cdef int _leave(self) except -1

cdef class BackendTLSTransport(TLSTransport):
    cdef object _reason(self, object error)
    cdef int _on_end_of_handshake(self, DialledConnection connection, object error) except -1
    cdef int _fail(self, Failure failure) except -1
