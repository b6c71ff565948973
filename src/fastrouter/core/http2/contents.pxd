# http2: HTTP/2 on either side: fields as text of HTTP/1.1, and the connections whose streams carry exchanges.

cdef enum:
    HTTP2_STREAMS = 250                 # of one client at a time, as Go has it
    HTTP2_STREAMS_HELD = 1250           # in the engine: with those that are refused and whose RST_STREAM is not written
    HTTP2_WINDOW = 262144               # bytes of body that a stream may send ahead of what its backend takes
    HTTP2_CONNECTION_WINDOW = 4194304   # and all of a connection together: some that stall leave room for the others
    HTTP2_UNSENT_MAX = 65536            # bytes of response that wait for the client; with more, its backend is not read
    HTTP2_SMALL = 1024                  # bytes of DATA; of less than that, one goes on by itself in a wake-up
    HTTP2_ALL_UNSENT_MAX = 1048576      # of all of a connection; with more, backends only of streams that are taken
    HTTP2_MUCH_UNSENT_MAX = 2097152     # with more, no backend at all
    HTTP2_FIELDS_MAX = 4096             # fields of one message; with more, the connection ends
    HTTP2_WRITE = 65536                 # bytes taken from the engine at once
    HTTP2_NOT_SENT_MAX = 131072         # bytes that the kernel takes beyond what it may send to the client at this moment
    HTTP2_FRAME_MAX = 16384             # bytes of payload of one frame
    HTTP2_DATA_MAX = 16375              # bytes of DATA in one: with its head it fills a record of TLS
    HTTP2_LARGE_UPDATE = 1073741824     # that may overflow a window: the engine is to know what came before
    HTTP2_ENDS_KEPT = 8                 # streams that a client has ended last, whose frames are at an end
    FIELDS_KEPT = 65536                 # bytes of memory for a header block that stay for the next one
    HTTP2_WRITES_AT_ONCE = 4            # before others get their turn
    HTTP2_SLICE = 65536                 # bytes given to the engine at once
    HTTP2_HEADS_AT_ONCE = 4             # and header blocks: each may unpack to a whole header list
    HTTP2_FRAMES_AT_ONCE = 512          # and frames
    # What a client may do for free, and what it gets back in a second.
    HTTP2_RESETS = 1000
    HTTP2_RESETS_PER_SECOND = 100
    HTTP2_CHATTER = 10000
    HTTP2_CHATTER_PER_SECOND = 1000

cdef enum:
    FRAME_DATA = 0
    FRAME_HEADERS = 1
    FRAME_PRIORITY = 2
    FRAME_RST_STREAM = 3
    FRAME_SETTINGS = 4
    FRAME_PING = 6
    FRAME_GOAWAY = 7
    FRAME_WINDOW_UPDATE = 8
    FRAME_CONTINUATION = 9
    FRAME_PRIORITY_UPDATE = 16
    FRAME_FLAG_NONE = 0
    FRAME_FLAG_ACK = 1
    FRAME_FLAG_END_STREAM = 1
    FRAME_FLAG_END_HEADERS = 4
    FRAME_HEAD = 9                      # bytes
    PREFACE_SIZE = 24                   # bytes

cdef enum:
    # Error codes of RFC 9113 section 7.
    HTTP2_NO_ERROR = 0
    HTTP2_PROTOCOL_ERROR = 1
    HTTP2_INTERNAL_ERROR = 2
    HTTP2_FLOW_CONTROL_ERROR = 3
    HTTP2_STREAM_CLOSED = 5
    HTTP2_REFUSED_STREAM = 7
    HTTP2_CANCEL = 8
    HTTP2_ENHANCE_YOUR_CALM = 11
    HTTP2_INADEQUATE_SECURITY = 12

cdef enum:
    # What the next bytes of a response are, as the exchange writes them.
    RESPONSE_HEAD
    RESPONSE_LENGTH
    RESPONSE_UNTIL_END
    RESPONSE_CHUNK_LINE
    RESPONSE_CHUNK
    RESPONSE_CHUNK_END
    RESPONSE_ENDED              # END_STREAM, or the end of the stream, is on its way

cdef enum:
    DRAIN_NONE
    DRAIN_NOTICE                # the client knows that this connection ends
    DRAIN_LAST                  # and which of its streams are the last

cdef struct HeadNotes:
    int64_t length              # what Content-Length says, -1 without one
    bint is_chunked

cdef enum:
    # What libnghttp2 tells of a connection.
    EVENT_REQUEST               # `text`: its head
    EVENT_RESPONSE              # the same
    EVENT_INTERIM               # the same
    EVENT_TRAILERS              # `text`: their lines
    EVENT_MALFORMED             # `text`, a str: why a head, or trailers, are not what HTTP allows
    EVENT_NO_REQUEST            # the head of a request is not; `text`: what is known of it, by `refused_head_of`
    EVENT_DATA                  # `data`, of `text`
    EVENT_RESET                 # by the peer, for the reason `code`
    EVENT_CLOSED                # the stream is over, likewise
    EVENT_PONG
    EVENT_SETTINGS              # `code`: how many streams the peer carries at a time, -1: as many as before
    EVENT_GOAWAY                # `stream`: the last one that counts; `code`; `text`: what it says

cdef struct HTTP2Event:
    int kind                    # EVENT_*
    int32_t stream
    int64_t code
    bint is_last                # END_STREAM
    const char* data
    Py_ssize_t size
    PyObject* text              # bytes, or str, with a reference of the event's own, as the next
    PyObject* never_indexed     # set of names; NULL: none

cdef struct Text:
    const char* start           # NULL: there is none
    Py_ssize_t size

cdef struct FieldEntry:
    # Where it stands in the text of its list.
    Py_ssize_t name
    Py_ssize_t name_size
    Py_ssize_t value
    Py_ssize_t value_size
    bint is_never_indexed       # its sender has marked it so (RFC 7541 section 6.2.3)

cdef struct FieldList:
    char* text
    Py_ssize_t size
    Py_ssize_t room
    FieldEntry* fields
    int count
    int places
    bint has_never_indexed      # one of them at least

cdef struct FrameWalk:
    void* engine                # of a client's connection, whose frames are checked; NULL for a backend's
    unsigned char head[9]       # of the next frame, as far as it has come
    int head_size
    int kind                    # FRAME_*, of the frame that `left` is about
    uint32_t stream             # its stream
    uint32_t number             # that the payload of PRIORITY or WINDOW_UPDATE begins with, as far as it has come
    uint32_t overfull           # the stream whose window the next byte would overflow; 0: none
    uint32_t last_stream        # that the client has opened
    uint32_t gap_begin          # the numbers between these two were left out last
    uint32_t gap_end
    uint32_t ends[8]            # HTTP2_ENDS_KEPT: streams that the client has ended
    bint is_reset[8]            # with RST_STREAM
    int end_at                  # the oldest of them
    int fault                   # HTTP2_* error that the last frame is; 0: none
    uint32_t left               # bytes of it that have not come
    bint is_head_open           # a header block goes on in another frame
    int64_t resets              # RST_STREAM frames so far
    int64_t chatter             # frames so far that move nothing: PING, SETTINGS, PRIORITY, empty DATA, unknown ones

cdef struct Allowance:
    int size
    int per_second
    int64_t left
    int64_t since_ns            # CLOCK_MONOTONIC_COARSE

cdef class HTTP2Engine:
    cdef void* engine           # libnghttp2's session; NULL once the connection is gone
    cdef FrameWalk walk
    cdef Allowance chatter
    cdef HTTP2Event* events     # `events[at:count]` are to be told
    cdef int at
    cdef int count
    cdef int places
    cdef int max_list_count     # fields that a header block may have; with more, the connection ends
    cdef Py_ssize_t max_list_size   # and bytes, as HPACK counts them
    cdef FieldList* block       # of a header block that is not complete; NULL: there is none
    cdef void* outputs          # the first StreamOutput of those that are listed; NULL: there is none
    cdef Py_ssize_t unsent      # bytes in all of them
    cdef bytes input            # that is worked on
    cdef object fault           # what a callback could not raise; None
    cdef uint32_t goaway        # HTTP2_* error that a GOAWAY to the peer has told; 0: none
    cdef flag is_in_block       # a header block has begun that is not complete
    cdef flag is_flooded        # by a header list beyond the limit
    cdef int open(self, bint is_server, Py_ssize_t largest_sent, Py_ssize_t continuations) except -1
    cdef int expect(self, Py_ssize_t result) except -1
    cdef void close(self) noexcept
    cdef void _free(self) noexcept
    cdef bint is_in_head(self) noexcept
    cdef bytes known_head(self)
    cdef Py_ssize_t block_size(self) noexcept
    cdef Py_ssize_t feed(self, bytes data, Py_ssize_t at, Py_ssize_t end) except? -1
    cdef HTTP2Event* add_event(self, int kind, int32_t stream) noexcept
    cdef bint take_event(self, HTTP2Event* event) noexcept
    cdef bint has_events(self) noexcept
    cdef void note_fault(self, object error) noexcept
    cdef bint wants_input(self) noexcept
    cdef bytes output(self, Py_ssize_t wanted)
    cdef int send(self, StreamOutput output, const char* data, Py_ssize_t size, bint is_last) except -1
    cdef int send_trailers(self, StreamOutput output, bytes text, set never_indexed) except -1
    cdef int _go_on(self, StreamOutput output) except -1
    cdef int32_t window_of(self, int32_t stream) noexcept
    cdef int reset(self, int32_t stream, uint32_t code) except -1
    cdef int acknowledge(self, int32_t stream, Py_ssize_t size) except -1
    cdef int ping(self) except -1
    cdef int say_goodbye(self, uint32_t code) except -1

cdef class StreamOutput:
    cdef char* data             # `data[start:end]` waits
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef Py_ssize_t room
    cdef bytes trailers         # the last chunk, if fields come behind the body; None
    cdef set never_indexed      # names of those that are to be so; None
    cdef void* next             # StreamOutput of the same engine
    cdef void* previous
    cdef int32_t stream
    cdef flag is_listed         # its stream has not ended, and its engine holds it
    cdef flag is_ended          # there is no more body
    cdef flag is_deferred       # libnghttp2 has asked for more and is to be told when there is some
    cdef flag is_large          # it takes turns with others
    cdef Py_ssize_t waiting(self) noexcept
    cdef int append(self, const char* data, Py_ssize_t size) except -1
    cdef void take(self, Py_ssize_t size) noexcept

cdef class ClientSession(HTTP2Engine):
    cdef HTTP2ClientConnection connection
    cdef Allowance resets
    cdef uint32_t last_stream   # that the client has opened
    cdef bytes greeting         # SETTINGS that are not written yet; None once they are
    cdef bytes last_words       # of ours, when the engine says no more; None before
    cdef flag is_over           # nothing comes or goes any more
    cdef int begin(self) except -1
    cdef Py_ssize_t receive(self, bytes data, Py_ssize_t at) except -1
    cdef int dispatch(self) except -1
    cdef int _end_overfull(self, int32_t stream) except -1
    cdef int _tell(self, HTTP2Event* event) except -1
    cdef int _give_up(self, int code) except -1
    cdef int _end_with(self, int code) except -1
    cdef bytes take(self)
    cdef StreamOutput respond(self, int32_t stream, bint is_last)
    cdef int inform(self, int32_t stream) except -1
    cdef int notify_shutdown(self) except -1

cdef class HTTP2ClientConnection(AcceptedConnection):
    cdef ClientSession session                  # None at the end
    cdef dict streams                           # by number -> HTTP2ClientSide, while they are open
    cdef dict unsent                            # those of them (keys) that have given the session something to be looked at
    cdef int exchanges                          # under way
    cdef int drain_stage                        # DRAIN_*
    cdef Py_ssize_t discarded                   # bytes thrown away since the end
    cdef flag is_used                           # it has had a request
    cdef int fullness                           # how many of the limits of HTTP2_ALL_UNSENT_MAX are passed: 0, 1 or 2
    cdef int add_exchanges(self, list into) except -1
    cdef int _keep_queue_short(self) except -1
    cdef int _receive(self, bytes data) except -1
    cdef int _look_at_block(self) except -1
    cdef int open_stream(self, uint32_t number, bytes head, bint is_last, set never_indexed) except -1
    cdef int on_no_request(self, uint32_t number, bytes known) except -1
    cdef int on_malformed(self, uint32_t number) except -1
    cdef bint refuse_cut_head(self, bytes known, int refusal) except -1
    cdef int on_error(self, uint32_t code) except -1
    cdef int on_body(self, uint32_t number, const char* data, Py_ssize_t size, bint is_last) except -1
    cdef int on_trailers(self, uint32_t number, bytes lines, set never_indexed) except -1
    cdef int on_reset(self, uint32_t number) except -1
    cdef int on_stream_closed(self, uint32_t number, int code) except -1
    cdef int on_ping_answered(self) except -1
    cdef int write_now(self) except -1
    cdef int _fullness_now(self) noexcept
    cdef int on_unsent(self) except -1
    cdef bint is_too_much(self, HTTP2ClientSide side) noexcept
    cdef int _look_at_unsent(self) except -1
    cdef int _look_at_waits(self) except -1
    cdef int on_exchange_end(self) except -1
    cdef int _begin_drain(self) except -1
    cdef int _end_drain(self) except -1
    cdef int _note_incomplete(self) except -1
    cdef int shut(self, int code) except -1
    cdef int _linger(self) except -1
    cdef int _leave_streams(self, object error) except -1

cdef class InadequateHTTP2Connection(HTTP2ClientConnection):
    pass

cdef class HTTP2ClientSide(ClientSide):
    cdef LargeHead large_head                   # room of the head, until there is an exchange that has it
    cdef HTTP2ClientConnection connection
    cdef uint32_t number                        # of the stream
    cdef Exchange exchange                      # None: not yet, or not any more
    cdef StreamRouteWait route_wait             # while its exchange has not begun for want of a route
    cdef int framing                            # FRAMING_* of the request
    cdef int64_t remaining                      # bytes of a body of known length
    cdef bytearray waiting                      # body that the exchange could not take yet, maybe without a byte; None: nothing
    cdef bytes trailer                          # lines behind that
    cdef int64_t discarded                      # bytes of body that nobody wants
    cdef int stage                              # RESPONSE_*
    cdef int64_t left                           # bytes of response body, or of its chunk
    cdef StreamOutput output                    # what of it waits for the client; None: there is no body
    cdef Tunnel tunnel                          # what the exchange has become, or None
    cdef StreamWatch watch                      # None while it has not been needed
    cdef flag wants_tunnel                      # extended CONNECT
    cdef flag is_gathering                      # small DATA has gone on in this wake-up; what comes behind it waits for the end
    cdef flag is_request_over                   # the client has sent END_STREAM
    cdef flag is_body_handed                    # and the exchange knows
    cdef flag is_head                           # the response has no body, whatever it says
    cdef flag is_held                           # the exchange knows that those are too many
    cdef flag is_gone                           # there is no stream any more
    cdef int begin(self, bytes raw, bint has_body, set never_indexed) except -1
    cdef int _serve(self, Exchange exchange, Head head) except -1
    cdef bint _awaits_route(self, Exchange exchange, Head head) except -1
    cdef int on_route_wait_over(self) except -1
    cdef int on_body(self, const char* data, Py_ssize_t size, bint is_last) except -1
    cdef int on_trailers(self, bytes lines, set never_indexed) except -1
    cdef int _hand_over(self, const char* data, Py_ssize_t size, bint is_last) except -1
    cdef int break_body(self) except -1
    cdef int _hold_new_backend(self) except -1
    cdef bint _can_hand_over(self) noexcept
    cdef int _hand_to_tunnel(self, const char* data, Py_ssize_t size, bint is_last) except -1
    cdef int _reset(self, uint32_t code) except -1
    cdef int _end_watch(self) except -1
    cdef int give_up(self) except -1
    cdef int on_gone(self, object error) except -1
    cdef int on_panic(self, object error) except -1
    cdef int _take(self, const char* text, Py_ssize_t size) except -1
    cdef Py_ssize_t _take_head(self, const char* text, Py_ssize_t size) except -1
    cdef Py_ssize_t _take_chunk_line(self, const char* text, Py_ssize_t size) except -1
    cdef int _send(self, const char* data, Py_ssize_t size, bint is_last) except -1
    cdef Py_ssize_t unsent(self) noexcept
    cdef int look(self) except -1
    cdef bint awaits_end(self) noexcept
    cdef int _note_written(self) except -1
    cdef int hold_back(self) except -1
    cdef int _drop_waiting(self) except -1

cdef class StreamWatch(Timed):
    cdef HTTP2ClientSide side
    cdef int64_t unsent                         # bytes of response, when the wait for the client began
    cdef int watch_silence(self) except -1
    cdef int watch_stall(self) except -1

cdef class StreamRouteWait(FairReader):
    cdef HTTP2ClientSide side                   # None: it does not wait any more
    cdef Exchange exchange

cdef class PrefaceReader(Timed):
    cdef DataPlane plane
    cdef ClientConnection client                # with what a PROXY header says of it; None once it is somebody else's
    cdef object transport                       # so is this
    cdef bytes backlog                          # received, and neither HTTP yet
    cdef int _note_incomplete(self) except -1
    cdef int _leave(self) except -1
    cdef int _let_in(self, bint is_http2) except -1

# --- towards backends

cdef enum:
    BACKEND_STREAM_WINDOW = 262144      # bytes of a response that a backend may send ahead of its client
    BACKEND_WINDOW = 8388608            # and of all responses of one connection
    BACKEND_UNSENT_MAX = 1048576        # bytes of all request bodies of a connection that wait; with more, they are paused
    BACKEND_KEPT_MAX = 1048576          # bytes of them that are kept for another try, should their streams be refused
    BACKEND_CROWDED = 4194304           # bytes that clients have not taken, where a connection gets no further streams
    BACKEND_STREAMS_MAX = 1000          # at a time on one connection, whatever the peer would allow
    BACKEND_STREAMS_TOTAL = 1000000000  # in the life of one; stream numbers end at 2^31
    WAITING_MAX = 100                   # exchanges that wait for one dial
    OUTPUT_SLICE = 65536                # bytes that are written at once

cdef class HTTP2BackendSession(HTTP2Engine):
    cdef Py_ssize_t receive(self, bytes data, Py_ssize_t at) except -1
    cdef bint has_head_last(self) noexcept
    cdef int work_off(self, HTTP2BackendConnection connection) except -1
    cdef int _tell(self, HTTP2BackendConnection connection, HTTP2Event* event) except -1
    cdef int _tell_response(self, HTTP2BackendSide side, bytes head, bint is_last) except -1
    cdef bint is_over(self) noexcept
    cdef int submit(self, StreamOutput output) except -1
    cdef int leave(self) except -1

cdef class HTTP2ConnectionPool(ConnectionPool):
    cdef list shared                            # of HTTP2BackendConnection: dialling, or open for further streams
    cdef flag speaks_http1                      # the endpoint has agreed on HTTP/1.1 last: nobody waits for another's dial
    cdef Py_ssize_t count_idle(self) except -1
    cdef int forget(self, HTTP2BackendConnection connection) except -1

cdef class HTTP2BackendConnection(DialledConnection):
    cdef HTTP2BackendSession session            # from the end of the handshakes on
    cdef object waiting                         # deque of HTTP2BackendSide: for the connection to be open
    cdef dict sides                             # stream -> HTTP2BackendSide
    cdef list full                              # HTTP2BackendSides whose requests are not taken as fast as they come
    cdef Py_ssize_t held                        # bytes of responses that clients have not taken
    cdef Py_ssize_t kept                        # bytes of requests for another try
    cdef int64_t served                         # streams so far
    cdef int limit                              # of streams at a time, by what the peer has said
    cdef flag is_open                           # the peer's SETTINGS have come
    cdef flag is_leaving                        # no further streams
    cdef flag is_idle                           # counted as such
    cdef flag is_probed                         # the peer has answered a PING and said nothing else since
    cdef flag has_eof                           # the backend has ended behind what waits for a turn
    cdef str farewell                           # what its GOAWAY said, as Go prints it
    cdef bint has_room(self) except -1
    cdef int join(self, HTTP2BackendSide side) except -1
    cdef int begin_stream(self, HTTP2BackendSide side) except -1
    cdef int drop(self, HTTP2BackendSide side, int code) except -1
    cdef int _on_stream_over(self) except -1
    cdef int _become_idle(self) except -1
    cdef int _leave_idle(self) except -1
    cdef int _turn_away(self) except -1
    cdef int on_settings(self, int64_t limit) except -1
    cdef int on_farewell(self, int last, uint32_t code, bytes text) except -1
    cdef int on_data_ignored(self, int stream, Py_ssize_t size) except -1
    cdef int _consume(self, bytes data) except -1
    cdef bint _work_off(self, bint has_more) except -1
    cdef int _after_work(self) except -1
    cdef int _on_broken(self, str what) except -1
    cdef int _write_out(self) except -1
    cdef int _look_for_room(self) except -1
    cdef int _watch(self) except -1
    cdef int _end(self) except -1
    cdef int _close(self) except -1
    cdef int _shut(self) except -1
    cdef int _on_end(self, object error) except -1
    cdef int _lose(self, Failure failure) except -1

cdef class HTTP2BackendSide(BackendSide):
    cdef HTTP2BackendConnection connection
    cdef Exchange exchange                      # None once it is let go
    cdef int stream                             # 0 before the head of the request
    cdef StreamOutput output                    # what of the request's body waits for the backend; None: there is none
    cdef Framing request_framing                # of the body being sent
    cdef bytearray request_trailer
    cdef bytearray sent                         # of the body, framed, as long as a refused stream can be tried again; None after
    cdef bytes head                             # of the response, as text
    cdef int framing                            # of the response, FRAMING_*
    cdef int64_t remaining                      # bytes of body it has announced and not brought
    cdef bytearray held                         # body that the client has not taken; None: nothing
    cdef bytearray trailer                      # lines behind it
    cdef flag has_begun                         # the head of the response has come
    cdef flag has_ended                         # END_STREAM has
    cdef flag has_bytes                         # of the response
    cdef flag is_paused                         # the client takes no more
    cdef flag is_request_full                   # the backend does not take the request as fast as it comes
    cdef flag was_kept                          # its connection has served others before
    cdef bint is_complete(self) noexcept
    cdef int _drop(self) except -1
    cdef Exchange let_go(self)
    cdef int _begin(self, const char* head, Py_ssize_t size) except -1
    cdef int _send_body(self, bytes data) except -1
    cdef int _send_chunks(self, HTTP2BackendSession session, bytes data) except -1
    cdef Py_ssize_t queued(self) noexcept
    cdef bint is_too_much(self, Py_ssize_t limit) noexcept
    cdef int _keep_sent(self, bytes data) except -1
    cdef void _forget_sent(self) noexcept
    cdef int on_room(self) except -1
    cdef int on_interim(self, bytes head) except -1
    cdef int on_response(self, bytes head, bint is_last) except -1
    cdef int on_bare_head(self) except -1
    cdef bint _scan(self, bytes head, bint is_last) except -1
    cdef int on_malformed(self, str reason) except -1
    cdef int on_data(self, const char* data, Py_ssize_t size, bint is_last) except -1
    cdef int on_trailers(self, bytes lines) except -1
    cdef int _relay(self, const char* data, Py_ssize_t size, bint is_last) except -1
    cdef int _end(self) except -1
    cdef int _take_from_held(self, Py_ssize_t size) except -1
    cdef int on_reset(self, uint32_t code) except -1
    cdef int on_closed(self, uint32_t code) except -1
    cdef int reject(self, str what) except -1
    cdef int lose(self, Failure failure, int code) except -1
    cdef int on_panic(self, object error) except -1
