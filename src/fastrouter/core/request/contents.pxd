# request: one request and its response: the exchange and its parts, Gorouter's handlers over it, the attempts, tunnels.

cdef enum:
    KNOWN_SERVICES_MAX = 4096   # route services whose URL is kept taken apart
    RULE_LENGTHS = 32           # a power of two

cdef enum:
    FAILURE_DIAL
    FAILURE_STARVED
    FAILURE_NOT_TLS
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
    FAILURE_REFUSED
    FAILURE_STREAM
    FAILURE_NO_ENDPOINTS
    FAILURE_CLIENT_GONE
    FAILURE_KINDS

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
    Py_ssize_t line             # where the first of this name is in the message that `apply` has left or added; -1: none

# What a kind of failure means; the rows are in failures.pxi.
cdef struct FailureRow:
    int status                  # of the response when no attempt is left
    const char* body            # of that response
    bint retriable              # another attempt may follow
    bint failable               # the endpoint is marked and passed over for a while
    bint prunable               # a TLS endpoint is removed for everybody
    int counter                 # COUNTER_* that goes up with the response

cdef class Failure:
    cdef int kind               # FAILURE_*
    cdef str text               # as Gorouter prints it
    cdef bint is_retriable                      # here: by its kind, and by what of the request was sent
    cdef FailureRow* row(self) noexcept

cdef class Rewriting:
    cdef list names                             # keep the bytes of the rules alive, as the next
    cdef list lines
    cdef Rule* rules                            # one per name
    cdef Rule* by_length[RULE_LENGTHS]          # the first of those whose length is this modulo RULE_LENGTHS, or NULL
    cdef Rule* date
    cdef Rule* router_error
    cdef Rule* _rule_of(self, const char* name, Py_ssize_t length) noexcept
    cdef void apply(self, Py_ssize_t start) noexcept

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

cdef class ChangedHeaders:
    cdef ChangedHeader headers[CHANGED_KINDS]   # by kind from FIRST_CHANGED on
    cdef char* text                             # their values
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity
    cdef ChangedHeader* of(self, int kind) noexcept
    cdef int set(self, int kind, const char* value, Py_ssize_t length) except -1

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

cdef class Caller:
    cdef bytes app                              # GUID, as the next two; empty: unknown
    cdef bytes space
    cdef bytes organization
    cdef tuple claims                           # bytes: the sources of policies that are for it

cdef class MutualTLSDomain:
    cdef readonly str name                      # a host, or `*.` and what is behind its first label
    cdef readonly str forwarded_client_cert     # as of Settings
    cdef object identify                        # callables (_core.pyi)
    cdef object identify_header
    cdef object render
    cdef object context                         # ssl.SSLContext, as the next for clients that ask for it by SNI
    cdef object is_allowed                      # callable(ssl.SSLObject) -> bool, or None
    cdef Caller caller_of(self, bytes certificate)
    cdef Caller caller_of_header(self, bytes value)

cdef class ClientIdentity:
    cdef bytes ip
    cdef bytes address                          # ip:port
    cdef bytes certificate                      # DER, verified; None if it has shown none
    cdef MutualTLSDomain domain                 # whose CAs have verified it; None: none
    cdef bytes server_name                      # by SNI, where there are such domains; None without one
    cdef Caller caller                          # by the certificate, within a domain; None: nobody knows
    cdef bytes forwarded                        # the certificate as the domain's apps are told of it
    cdef flag is_tls
    cdef int set_address(self, bytes ip, int port) except -1
    cdef bint learn_address(self, object transport) except -1
    cdef int set_secured(self, bytes certificate) except -1
    cdef int set_domain(self, MutualTLSDomain domain, bytes server_name) except -1

cdef class ClientSide:
    cdef ClientIdentity identity
    cdef int write_rendered(self) except -1
    cdef int write(self, object data) except -1
    cdef int write_parts(self, list parts) except -1
    cdef int pause(self) except -1
    cdef int resume(self) except -1
    cdef int finish(self, bint is_last) except -1
    cdef int break_off(self, bint needs_reset) except -1
    cdef int close(self) except -1
    cdef bint serves(self, Exchange exchange) noexcept
    cdef int abort(self) except -1
    cdef bytes begin_tunnel(self, Tunnel tunnel)
    cdef bint take_end(self) noexcept
    cdef bint is_full(self) noexcept
    cdef bint can_half_close(self) except -1
    cdef int half_close(self) except -1
    cdef int watch_silence(self) except -1

cdef class BackendSide:
    cdef int serve(self, Exchange exchange) except -1
    cdef int write_rendered(self) except -1
    cdef int write(self, bytes data) except -1
    cdef int pause(self) except -1
    cdef int resume(self) except -1
    cdef bint is_full(self) noexcept
    cdef bint was_used(self) noexcept
    cdef str local_address(self)
    cdef int64_t missing(self) noexcept
    cdef int release(self) except -1
    cdef int close(self) except -1
    cdef int abort(self) except -1
    cdef int begin_tunnel(self, Tunnel tunnel) except -1
    cdef bint can_half_close(self) except -1
    cdef int half_close(self) except -1

cdef struct Trace:
    Py_ssize_t id_length                        # 16 or 32; 0: the trace has no name yet
    char request_id[36]                         # X-Vcap-Request-Id
    char id[32]                                 # hex digits
    char span_id[16]                            # hex digits

cdef class Request:
    # as received
    cdef int64_t received_ns                    # CLOCK_MONOTONIC, for durations
    cdef int64_t received_wall_ns               # CLOCK_REALTIME, for the log and X-Request-Start
    cdef bytes head                             # as received; the slices below point into it
    cdef LargeHead large_head                   # its room, if it is large
    cdef bytes refused_protocol                 # what a refused request says it speaks, "-" for nothing; None for all others
    cdef bytes logged_values                    # Slices of the access log's extra headers as received; None without them
    cdef Slice method
    cdef Slice host                             # the effective one: Host, or an absolute target's authority
    cdef Slice path                             # target in origin form, query included; empty for `http://host`
    cdef Slice referer
    cdef Slice user_agent
    cdef Slice forwarded_for
    cdef Slice forwarded_proto
    cdef Slice upgrade
    cdef int minor                              # of the client's HTTP/1.x
    cdef int framing                            # FRAMING_* towards the backend
    cdef flag is_head
    cdef flag is_http2                          # as its client speaks it; what is here is HTTP/1.1
    cdef flag is_first                          # on its client's connection
    cdef flag is_idempotent                     # by method or key header (spec 5.4)
    cdef flag sends_zero_length                 # POST, PUT, PATCH: `Content-Length: 0` without a body
    cdef flag expects_continue
    cdef flag wants_upgrade
    cdef flag wants_websocket
    cdef flag is_grpc                           # a call of gRPC, by a client that speaks HTTP/2
    # what the handlers find out and decide
    cdef Trace trace                            # written in tracing.pxi
    cdef bytes span                             # ids of its span (SPAN_*); None: it has none, or its trace is not sampled
    cdef ChangedHeaders changed                 # what handlers set and removed; None: nothing
    cdef str signed_url                         # what a sound X-CF-Proxy-Signature says; None without one
    cdef object signature_error                 # why it is not sound; None without one
    cdef Caller caller                          # who asks; None: nobody knows, or nobody has to
    cdef bytes sticky                           # instance id the client wants back to, or None
    cdef bytes sticky_metadata                  # its `__VCAP_ID_META__`, or None
    cdef flag must_stick                        # to that one or none (Negotiate)
    cdef flag has_semicolon                     # in its target
    cdef flag is_proto_set                      # X-Forwarded-Proto is the router's
    cdef flag is_proto_https                    # and this is what it says
    cdef flag is_trusted_return                 # it came from a route service, of whatever route
    cdef flag is_return                         # it came from the service of its own route
    cdef flag is_traced                         # X-Vcap-Trace with the trace key: the response tells who served
    # on the way to a backend
    cdef bytes prepared                         # outgoing head up to the endpoint's own headers
    cdef Slice sent_forwarded_for               # points into `prepared`
    cdef flag lacks_scheme                      # `prepared` has a target that begins with `//`, for the endpoint's scheme
    cdef flag closes_backend                    # `Connection: close` towards the backend
    cdef flag is_body_wanted                    # False while `Expect: 100-continue` holds the body back
    cdef flag is_done                           # the client sent all of it
    cdef int64_t bytes_received                 # of body
    cdef bytearray held                         # framed body bytes no backend has taken yet
    cdef Py_ssize_t held_size
    cdef set never_indexed                      # names of fields that its client wants out of all tables; None
    cdef int read_head(self, bytes raw, Head head, DataPlane plane) except -1
    cdef int read_refused(self, bytes text, Head head, DataPlane plane) except -1
    cdef int set_framing(self, int framing, Head head) except -1
    cdef int set_large_head(self, LargeHead head) except -1
    cdef void set_http2(self) noexcept
    cdef void set_first(self, bint is_first) noexcept
    cdef int never_index(self, set names) except -1
    cdef void note_grpc(self, Head head) noexcept
    cdef bytes host_text(self)
    cdef bint is_replayable(self) noexcept
    cdef void note_semicolon(self) noexcept
    cdef void set_traced(self, bint is_traced) noexcept
    cdef int set_span(self, bytes span) except -1
    cdef void set_forwarded_proto(self, bint is_https, bint is_set) noexcept
    cdef void forget_upgrade(self) noexcept
    cdef void close_backend(self) noexcept
    cdef ChangedHeaders changes(self)
    cdef int stick_to(self, bytes identity, bint is_must) except -1
    cdef int set_sticky_metadata(self, bytes metadata) except -1
    cdef int set_signature(self, str url, object error) except -1
    cdef void trust_return(self, bint is_trusted) noexcept
    cdef void confirm_return(self) noexcept
    cdef int set_caller(self, Caller caller) except -1
    cdef int set_prepared(self, bytes prepared, Slice sent_forwarded_for, bint lacks_scheme) except -1
    cdef int forget_named(self, Head head) except -1
    cdef void count_body(self, int64_t payload, bint is_last) noexcept
    cdef void want_body(self) noexcept
    cdef int hold(self, bytes framed) except -1
    cdef bytes take_held(self)
    cdef int drop_held(self) except -1

cdef class RoundTrip:
    cdef EndpointPool route                     # in the table
    cdef EndpointPool pool                      # of its endpoints, those that may serve: the same, but for requests of instances
    cdef RouteService service                   # it visits; None: it goes to a backend
    cdef Endpoint endpoint                      # of the current attempt
    cdef Py_ssize_t cursor                      # round-robin position of this request, -1 before the first attempt
    cdef int hash_slot                          # where the next look by hash begins; -1: nothing of the request is hashed
    cdef set tried                              # addresses of failed attempts
    cdef str policy                             # that has admitted or refused its caller; None: none was asked
    cdef Failure failure                        # of the last failed attempt
    cdef int64_t started_ns                     # CLOCK_MONOTONIC, begin of the first attempt; 0 without one
    cdef int64_t attempt_ns                     # begin of the current one
    cdef int64_t last_failed_ns                 # end of the last failed attempt
    cdef int64_t dial_started_ns                # of the current attempt; 0 where it needed no dial
    cdef int64_t dialled_ns
    cdef int64_t secured_ns                     # end of the TLS handshake
    cdef int64_t dial_failed_ns                 # end of a dial, or of its handshake, that came to nothing
    cdef str local_address                      # ip:port of our end
    cdef int attempt                            # 1-based
    cdef int failed_attempts
    cdef flag is_head_sent                      # to the current backend
    cdef flag was_head_sent                     # in the attempt that failed last
    cdef flag waits_to_dial                     # in `Turns.dials`
    cdef flag is_resent                         # over another connection, after a kept one was lost in this attempt
    cdef flag is_counted                        # in its endpoint's in_flight
    cdef flag has_response                      # a backend's response head has come
    cdef flag is_on_route                       # counted as under way for its route
    cdef flag is_special                        # it visits a route service, or policies decide whom it reaches
    cdef int go_to(self, EndpointPool pool) except -1
    cdef int narrow_to(self, EndpointPool pool) except -1
    cdef void enter_route(self, RouteCounters counters) noexcept
    cdef void leave_route(self, RouteCounters counters) noexcept
    cdef int visit(self, RouteService service, Endpoint endpoint) except -1
    cdef int name_endpoint(self, Endpoint endpoint) except -1
    cdef void set_cursor(self, Py_ssize_t cursor) noexcept
    cdef void set_hash_slot(self, int slot) noexcept
    cdef void guard(self) noexcept
    cdef int begin(self, Exchange exchange) except -1
    cdef int _begin_special(self, Exchange exchange) except -1
    cdef int _begin_at(self, Exchange exchange, Endpoint endpoint) except -1
    cdef bint _is_admitted(self, Exchange exchange, Endpoint endpoint) except -1
    cdef int _forbid(self, Exchange exchange, Endpoint endpoint) except -1
    cdef int respond_unserved(self, Exchange exchange) except -1
    cdef int _begin_visit(self, Exchange exchange) except -1
    cdef int _begin_sending(self, Exchange exchange) except -1
    cdef int send(self, Exchange exchange, bint is_turn) except -1
    cdef void on_dial(self) noexcept
    cdef void on_dialled(self) noexcept
    cdef void on_secured(self) noexcept
    cdef void on_dial_failed(self) noexcept
    cdef int on_sent(self, str local_address) except -1
    cdef int on_success(self, Exchange exchange, int status) except -1
    cdef int release_count(self) noexcept
    cdef int on_cut(self, Failure failure) except -1
    cdef int on_failed(self, Exchange exchange, Failure failure, bint was_reused, bint got_bytes) except -1
    cdef int give_up(self, Exchange exchange, bint was_reused) except -1
    cdef int _note_failure(self, Exchange exchange, Failure failure, bint was_reused) except -1

cdef class Response:
    cdef int64_t bytes_sent                     # of body
    cdef bytes router_error                     # X-Cf-RouterError of the final response
    cdef set never_indexed                      # names of fields that a backend wants out of all tables; None
    cdef int status                             # 0: none yet, or one that no log tells
    cdef int framing                            # FRAMING_* towards the client
    cdef int interims                           # interim responses so far
    cdef flag is_last                           # on its client's connection
    cdef flag is_started
    cdef flag is_done
    cdef flag is_broken_off                     # in the middle, or by a fault of ours
    cdef void start(self, int status) noexcept
    cdef void note(self, int status, Py_ssize_t size) noexcept
    cdef void count_body(self, int64_t size) noexcept
    cdef bint count_interim(self) noexcept
    cdef void end(self) noexcept
    cdef int never_index(self, set names) except -1
    cdef void close_after(self) noexcept
    cdef int break_off(self, bytes router_error) except -1
    cdef int set_router_error(self, bytes router_error) except -1
    cdef int put_fields(self, Head head) except -1
    cdef void put_router_fields(self, Exchange exchange, Head head) noexcept
    cdef bytes render_interim(self, Exchange exchange, Head head)
    cdef bytes render_switch(self, Exchange exchange, Head head)
    cdef int render_head(self, Exchange exchange, Head head, int framing) except -1

cdef class Tunnel:
    cdef Exchange exchange
    cdef ClientSide client
    cdef BackendSide backend
    cdef flag is_half_closed                    # one side has ended, and the other knows
    cdef int begin(self, bytes held) except -1
    cdef int on_client_data(self, bytes data) except -1
    cdef int on_backend_data(self, bytes data) except -1
    cdef bint on_client_half_close(self) except -1
    cdef bint on_backend_half_close(self) except -1
    cdef int watch_silence(self) except -1
    cdef int on_silence(self) except -1
    cdef int finish(self) except -1

cdef class Exchange(Timed):
    cdef DataPlane plane
    cdef ClientSide client
    cdef BackendSide backend                    # dialled or acquired for the current attempt, which is under way
    cdef Request request
    cdef RoundTrip round_trip
    cdef Response response
    cdef Tunnel tunnel                          # from a 101 to the end; None: messages go to and fro
    cdef ContinueWait continue_wait             # since the head was sent with `Expect: 100-continue`, to the end
    cdef int64_t finished_ns                    # CLOCK_MONOTONIC
    cdef flag is_finished
    cdef int on_request(self, bytes raw, Head head, int framing) except -1
    cdef bint can_take_body(self) noexcept
    cdef int on_body(self, bytes framed, int64_t payload, bint is_last) except -1
    cdef int attach(self, BackendSide backend) except -1
    cdef int change_backend(self, BackendSide backend) except -1
    cdef int on_backend_ready(self) except -1
    cdef int open_body(self) except -1
    cdef void _end_continue_wait(self) noexcept
    cdef int on_interim(self, Head head) except -1
    cdef int on_response_head(self, Head head, int framing) except -1
    cdef int on_response_end(self) except -1
    cdef int on_switch(self, Head head) except -1
    cdef int on_foreign_switch(self) except -1
    cdef int on_client_full(self) except -1
    cdef int on_client_room(self) except -1
    cdef int on_backend_full(self) except -1
    cdef int on_backend_room(self) except -1
    cdef int on_backend_lost(self, Failure failure, bint was_reused, bint got_bytes) except -1
    cdef int on_broken_body(self) except -1
    cdef int on_client_gone(self, object error) except -1
    cdef int on_tunnel_end(self) except -1
    cdef int _log_broken_stream(self, object error) except -1
    cdef str state(self)
    cdef str request_id_text(self)
    cdef const Trace* named_trace(self) except NULL
    cdef int log(self, int level, str message, dict data) except -1
    cdef int detach_backend(self) except -1
    cdef int finish(self) except -1
    cdef int refuse(self, int refusal, int status, Py_ssize_t size) except -1
    cdef int give_up(self) except -1
    cdef int _count(self) except -1
