# io: sockets and TLS below HTTP: fair reading, writing and reading past the event loop, records.

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        void* ptr
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data

cdef enum:
    TLS_CLIENT_HELLO            # of a client, before the whole ClientHello
    TLS_HANDSHAKE
    TLS_OPEN                    # the owner's transport
    TLS_SHUT                    # its close_notify is out
    TLS_RECORD_HANDSHAKE = 22   # first byte of a connection that speaks TLS
    TLS_EXTENSION_SERVER_NAME = 0
    TLS_EXTENSION_ALPN = 16
    TLS_RECORD_MAX = 16384      # bytes of plain text in one record
    TLS_SLICE = 32768           # bytes of TCP given to OpenSSL at once
    TLS_RECORDS_PER_WRITE = 4   # to the socket, if there are so many
    TLS_RECORDS_AT_ONCE = 8     # and records
    TLS_POST_HANDSHAKE_MAX = 65536  # bytes OpenSSL may write of its own to a peer that takes nothing
    CLIENT_HELLO_MAX = 32768    # bytes; a real one has no more than a few thousand
    CLIENT_HELLO_RECORDS = 64   # it may be cut into; a real one has one or two
    PROXY_LINE_MAX = 107        # bytes of a PROXY header of version 1

cdef class FairReader(Timed):
    cdef DataPlane plane
    cdef object transport       # what is read from and written to, None before and after the connection
    cdef flag is_read_paused    # there is nowhere to put what would come
    cdef flag waits_for_turn    # it has had its share
    cdef flag is_read_stopped   # what the transport was asked for last
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
    cdef int on_route(self, bint is_there) except -1
    cdef int _apply(self) except -1

cdef class LoopCall:
    cdef object loop
    cdef flag is_called                  # the loop will call `_work`
    cdef int call(self) except -1

cdef class Turns(LoopCall):
    cdef object waiting                  # deque of FairReader
    cdef int new_connections             # connections that have begun
    cdef int64_t new_connections_since   # CLOCK_MONOTONIC
    cdef flag has_new_connection         # one has begun since the last turns
    cdef object dial_routes              # deque of names: those with an entry in `dials`, in the order of their turns
    cdef dict dials                      # name of a route (bytes) -> deque of Exchange that wait to dial
    cdef int64_t last_dial_ns            # CLOCK_MONOTONIC of the last dial for a new client
    cdef int add(self, FairReader reader) except -1
    cdef bint may_dial(self) noexcept
    cdef int add_dial(self, Exchange exchange) except -1
    cdef Exchange _take_dial(self)
    cdef int _dial(self, int64_t until) except -1
    cdef int add_new_connection(self, FairReader reader) except -1
    cdef int clear(self) except -1

cdef enum:
    PIECES_MAX = 512            # that wait in a transport, however small they are: each takes it some 150 bytes more

cdef class SocketWriter(FairReader):
    cdef int descriptor         # of the TCP socket below it, -1 for none
    cdef flag is_direct         # there is nothing between the two
    cdef flag may_wait          # bytes may wait in `transport`
    cdef flag is_working        # on what was received: all that this has to say is written behind it
    cdef flag is_write_due      # the data plane will ask for it
    cdef int pieces             # that may
    cdef object error           # that a write to the socket has met
    cdef int attach(self, object tcp) except -1
    cdef object detach(self, object error)
    cdef int write_out(self, object data) except -1
    cdef int write_rendered(self) except -1
    cdef int write_parts(self, list parts) except -1
    cdef int write_soon(self) except -1
    cdef int write_gathered(self) except -1
    cdef int _leave_to_transport(self, object data) except -1
    cdef int _count_pieces(self, Py_ssize_t count) except -1
    cdef Py_ssize_t _write_now(self, const char* data, Py_ssize_t size) except -1
    cdef int fail(self, object error) except -1
    cdef int close_transport(self) except -1
    cdef int abort_transport(self) except -1

cdef class GatheredWrites:
    cdef object loop
    cdef list waiting           # of SocketWriter
    cdef flag is_called         # the loop will call
    cdef int add(self, SocketWriter writer) except -1
    cdef int clear(self) except -1

cdef class SocketReader(SocketWriter):
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

cdef class SocketPoll(LoopCall):
    cdef int descriptor             # of the epoll instance, -1 while nobody is in it
    cdef set members                # of SocketReader
    cdef object postponed           # deque of SocketReader that are to be read though the kernel says nothing new
    cdef int at                     # `events[at:count]` are not worked on yet
    cdef int count
    cdef epoll_event[POLLED_AT_ONCE] events
    cdef bint add(self, SocketReader reader) except -1
    cdef int forget(self, SocketReader reader) except -1
    cdef int read_later(self, SocketReader reader) except -1
    cdef int _read_event(self, epoll_event* event) except -1
    cdef int _read(self, SocketReader reader, bint may_have_ended) except -1
    cdef bint _open(self) except -1
    cdef int close(self) except -1

cdef class TLSTransport(SocketReader):
    cdef Connection owner                       # None: nobody's, any more
    cdef int stage                              # TLS_*
    cdef object context                         # when the handshake began: OpenSSL calls back through it until the end
    cdef object tls                             # ssl.SSLObject, from the handshake on, as its BIOs
    cdef object incoming                        # encrypted, from the peer
    cdef object outgoing
    cdef object read_record                     # bound methods of `tls`
    cdef object write_record
    cdef Py_ssize_t discarded                   # bytes thrown away behind the close_notify of either side
    cdef int record_head                        # bytes of a record's head that OpenSSL has been given
    cdef int record_length                      # what they say of its length
    cdef Py_ssize_t record_left                 # bytes of it that OpenSSL has not been given
    cdef Py_ssize_t post_handshake              # bytes OpenSSL has written of its own since the peer took some last
    cdef flag is_write_paused                   # the peer does not take what is written as fast as it comes
    cdef flag has_end                           # the peer will send no more
    cdef flag is_cut                            # TCP has ended behind what is left for a turn
    cdef bint has_owner(self) noexcept
    cdef int forget(self) except -1
    cdef int begin_handshake(self, object context, bint is_server, object peer_name) except -1
    cdef int shake_hands(self) except -1
    cdef int open(self) except -1
    cdef int on_client_hello(self, bytes data) except -1
    cdef int on_handshake(self) except -1
    cdef int on_handshake_failed(self, object error) except -1
    cdef int on_broken(self, object error) except -1
    cdef int _continue_handshake(self, bytes data) except -1
    cdef Py_ssize_t _end_of_slice(self, bytes data, Py_ssize_t at) except -1
    cdef int _decrypt(self, bytes data) except -1
    cdef bint _read_records(self, list texts) except -1
    cdef int _encrypt(self, data) except -1
    cdef bint _flush_post_handshake(self) except -1
    cdef int _flush(self) except -1
    cdef bint _on_end(self) except -1
    cdef int _write_close_notify(self) except -1
    cdef int _discard(self, bytes data) except -1
