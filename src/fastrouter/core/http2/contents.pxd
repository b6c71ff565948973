# http2: HTTP/2 on either side: fields as text of HTTP/1.1, and the connections whose streams carry exchanges.

# --- towards backends

cdef enum:
    BACKEND_STREAM_WINDOW = 262144      # bytes of a response that a backend may send ahead of its client
    BACKEND_WINDOW = 8388608            # and of all responses of one connection
    BACKEND_CROWDED = 4194304           # bytes that clients have not taken, where a connection gets no further streams
    BACKEND_STREAMS_MAX = 1000          # at a time on one connection, whatever the peer would allow
    BACKEND_STREAMS_TOTAL = 1000000000  # in the life of one; stream numbers end at 2^31
    WAITING_MAX = 100                   # exchanges that wait for one dial
    SESSION_SLICE = 32768               # bytes that libnghttp2 is given at once
    OUTPUT_SLICE = 65536                # and that it gives
    ERROR_NO_ERROR = 0                  # codes of RST_STREAM and GOAWAY (RFC 9113 section 7)
    ERROR_PROTOCOL_ERROR = 1
    ERROR_REFUSED_STREAM = 7
    ERROR_CANCEL = 8

cdef class HTTP2BackendSession:
    cdef object engine                          # ngh2.Connection
    cdef object receive_data                    # bound methods of it
    cdef object data_to_send
    cdef list events                            # that it has reported, and that are not worked off
    cdef Py_ssize_t at                          # how far they are
    cdef int receive(self, object data) except -1
    cdef bint has_events(self) noexcept
    cdef int take_event(self, HTTP2BackendConnection connection) except -1
    cdef int _take_response(self, HTTP2BackendSide side, object event) except -1
    cdef bint is_over(self) except -1
    cdef int submit(self, list fields, bint is_last) except -1
    cdef int send(self, int stream, object data, bint is_last) except -1
    cdef int send_trailers(self, int stream, list fields) except -1
    cdef Py_ssize_t queued(self, int stream) except -1
    cdef int reset(self, int stream, int code) except -1
    cdef int acknowledge(self, int stream, Py_ssize_t size) except -1
    cdef int ping(self) except -1
    cdef int leave(self) except -1
    cdef bytes output(self)

cdef class HTTP2ConnectionPool(ConnectionPool):
    cdef list shared                            # of HTTP2BackendConnection: dialling, or open for further streams
    cdef flag speaks_http1                      # the endpoint has agreed on HTTP/1.1 last: nobody waits for another's dial
    cdef int forget(self, HTTP2BackendConnection connection) except -1

cdef class HTTP2BackendConnection(DialledConnection):
    cdef HTTP2BackendSession session            # from the end of the handshakes on
    cdef object waiting                         # deque of HTTP2BackendSide: for the connection to be open
    cdef dict sides                             # stream -> HTTP2BackendSide
    cdef list full                              # HTTP2BackendSides whose requests are not taken as fast as they come
    cdef Py_ssize_t held                        # bytes of responses that clients have not taken
    cdef int64_t served                         # streams so far
    cdef int limit                              # of streams at a time, by what the peer has said
    cdef flag is_open                           # the peer's SETTINGS have come
    cdef flag is_leaving                        # no further streams
    cdef flag is_idle                           # counted as such
    cdef flag is_probed                         # the peer has answered a PING and said nothing else since
    cdef flag is_working                        # on what was received: all that is to be written goes out behind that
    cdef flag writes_soon                       # the loop will call
    cdef flag has_eof                           # the backend has ended behind what waits for a turn
    cdef str farewell                           # what its GOAWAY said, as Go prints it
    cdef bint has_room(self) except -1
    cdef int join(self, HTTP2BackendSide side) except -1
    cdef int begin_stream(self, HTTP2BackendSide side, list fields, bint is_last) except -1
    cdef int drop(self, HTTP2BackendSide side, int code) except -1
    cdef int _on_stream_over(self) except -1
    cdef int _become_idle(self) except -1
    cdef int _leave_idle(self) except -1
    cdef int _turn_away(self) except -1
    cdef int on_settings(self, int64_t limit) except -1
    cdef int on_farewell(self, int last, int code, bytes text) except -1
    cdef int on_data_ignored(self, int stream, Py_ssize_t size) except -1
    cdef int _consume(self, bytes data) except -1
    cdef bint _work_off(self) except -1
    cdef int _after_work(self) except -1
    cdef int _on_broken(self, str what) except -1
    cdef int write_soon(self) except -1
    cdef int _write_out(self) except -1
    cdef int _look_for_room(self) except -1
    cdef int _watch(self) except -1
    cdef int _end(self) except -1
    cdef int _close(self) except -1
    cdef int _on_end(self, object error) except -1
    cdef int _lose(self, int kind, str text) except -1
    cdef int _lose_waiting(self, int kind, str text) except -1

cdef class HTTP2BackendSide(BackendSide):
    cdef HTTP2BackendConnection connection
    cdef Exchange exchange                      # None once it is let go
    cdef int stream                             # 0 before the head of the request
    cdef Framing request_framing                # of the body being sent
    cdef bytearray request_trailer
    cdef list sent                              # of the body, framed, as long as a refused stream can be tried again; None after
    cdef Py_ssize_t sent_size
    cdef bytes head                             # of the response, as text
    cdef int framing                            # of the response, FRAMING_*
    cdef int64_t remaining                      # bytes of body it has announced and not brought
    cdef list held                              # bytes of it that the client has not taken
    cdef bytearray trailer                      # lines behind it
    cdef flag has_begun                         # the head of the response has come
    cdef flag has_ended                         # END_STREAM has
    cdef flag has_bytes                         # of the response
    cdef flag is_paused                         # the client takes no more
    cdef flag is_request_full                   # the backend does not take the request as fast as it comes
    cdef flag was_kept                          # its connection has served others before
    cdef int _drop(self) except -1
    cdef Exchange let_go(self)
    cdef int _begin(self, const char* head, Py_ssize_t size) except -1
    cdef int _send_body(self, bytes data) except -1
    cdef int _send_chunks(self, HTTP2BackendSession session, bytes data) except -1
    cdef list _trailer_fields(self)
    cdef int _keep_sent(self, bytes data) except -1
    cdef int on_room(self) except -1
    cdef int on_interim(self, tuple fields) except -1
    cdef int on_response(self, tuple fields, bint is_last) except -1
    cdef int on_bare_head(self) except -1
    cdef bint _scan(self, tuple fields, bint is_last) except -1
    cdef int on_data(self, bytes data, bint is_last) except -1
    cdef int on_trailers(self, tuple fields) except -1
    cdef int _relay(self, bytes data) except -1
    cdef int _end(self) except -1
    cdef int _take_from_held(self, Py_ssize_t size) except -1
    cdef int on_reset(self, int code) except -1
    cdef int on_closed(self, int code) except -1
    cdef int reject(self, str what) except -1
    cdef int lose(self, Failure failure, int code) except -1
    cdef int on_panic(self, object error) except -1
