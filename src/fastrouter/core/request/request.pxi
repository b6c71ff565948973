# Request: what a client has asked for: its head as received, what the handlers make of it, and its body on the way to a backend.

@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Request:
    # The garbage collector does not track it, because it is in no cycle: nothing it refers to refers to an exchange.

    # --- as received

    cdef int read_head(self, bytes raw, Head head, DataPlane plane) except -1:
        """Take over what must outlive this read. `head` was scanned from `raw`."""
        cdef const char* base = head.base
        cdef Slice target = head.target
        cdef const char* mark
        cdef const char* path
        cdef const char* cut
        cdef const char* end
        self.received_ns = monotonic_ns()
        self.received_wall_ns = self.received_ns + plane.wall_offset_ns
        self.is_body_wanted = True
        self.head = raw
        self.minor = head.minor
        self.method = head.method
        self.host = head.value_of(HEADER_HOST)
        self.path = target
        if target.length and base[target.start] != c"/" and base[target.start] != c"*":
            # Absolute form: the target's authority is the host that counts (RFC 9112 section 3.2.2).
            end = base + target.start + target.length
            mark = <const char*>memmem(base + target.start, target.length, b"://", 3)
            if mark != NULL:
                mark += 3
                cut = <const char*>memchr(mark, c"?", end - mark)
                path = cut if cut != NULL else end
                cut = <const char*>memchr(mark, c"/", path - mark)
                path = cut if cut != NULL else path
                cut = <const char*>memrchr(mark, c"@", path - mark)
                mark = cut + 1 if cut != NULL else mark
                self.host.start = <uint32_t>(mark - base)
                self.host.length = <uint32_t>(path - mark)
                self.path.start = <uint32_t>(path - base)
                self.path.length = <uint32_t>(end - path)
        self.referer = head.value_of(HEADER_REFERER)
        self.user_agent = head.value_of(HEADER_USER_AGENT)
        self.forwarded_for = head.value_of(HEADER_X_FORWARDED_FOR)
        self.forwarded_proto = head.value_of(HEADER_X_FORWARDED_PROTO)
        self.is_head = is_word(base, head.method, b"HEAD")
        self.is_idempotent = (
            self.is_head or is_word(base, head.method, b"GET") or is_word(base, head.method, b"OPTIONS")
            or is_word(base, head.method, b"TRACE") or head.value_of(HEADER_IDEMPOTENCY_KEY).length > 0
            or head.value_of(HEADER_X_IDEMPOTENCY_KEY).length > 0
        )
        self.sends_zero_length = (
            is_word(base, head.method, b"POST") or is_word(base, head.method, b"PUT")
            or is_word(base, head.method, b"PATCH")
        )
        if self.minor >= 1 and head.has_token(HEADER_CONNECTION, b"upgrade") and head.asks_for_tunnel():
            self.wants_upgrade = True
            self.upgrade = head.value_of(HEADER_UPGRADE)
            self.wants_websocket = head.value_is(HEADER_UPGRADE, b"websocket")
        self.closes_backend = not plane.settings.backend_keep_alive
        if plane.logged_headers:
            self.logged_values = logged_values(plane.logged_headers, head)
        return 0

    cdef int read_refused(self, bytes text, Head head, DataPlane plane) except -1:
        """Take over what the whole lines of a refused request say. The last byte of `text` is a dash, for what is missing."""
        cdef Slice dash
        dash.start = <uint32_t>(PyBytes_GET_SIZE(text) - 1)
        dash.length = 1
        self.refused_protocol = b"-"
        if head.slice_request_line() == VERDICT_OK:
            self.refused_protocol = b"HTTP/%d.%d" % (head.major, head.minor)
        self.read_head(text, head, plane)
        if head.method.length == 0:
            self.method = dash
        if head.target.length == 0:
            self.path = dash
        return 0

    cdef int set_framing(self, int framing, Head head) except -1:
        self.framing = framing
        self.is_done = framing == FRAMING_NONE
        if head.value_of(HEADER_EXPECT).length:
            # Gorouter's closing variant (spec 4.4): the connection is not kept whatever becomes of the body.
            self.closes_backend = True
            if self.minor == 1 and framing != FRAMING_NONE:
                self.expects_continue = True
                self.is_body_wanted = False
        return 0

    cdef int set_large_head(self, LargeHead head) except -1:
        """The room that the head takes, to be kept as long as this; None: it is not large."""
        self.large_head = head
        return 0

    cdef void set_http2(self) noexcept:
        """The request has come in HTTP/2, and its head is a translation."""
        self.is_http2 = True

    cdef void set_first(self, bint is_first) noexcept:
        self.is_first = is_first

    cdef void note_grpc(self, Head head) noexcept:
        """Note whether this request, which has come in HTTP/2, is a gRPC call. There are none in HTTP/1."""
        self.is_grpc = has_grpc_type(head)

    cdef bytes host_text(self):
        """The effective host."""
        return PyBytes_AS_STRING(self.head)[self.host.start : self.host.start + self.host.length]

    cdef bint is_replayable(self) noexcept:
        """Whether it may be sent again although a backend may have seen it: it is idempotent, and has no body (spec 5.4)."""
        return self.is_idempotent and self.framing == FRAMING_NONE

    # --- what the handlers find out and decide

    cdef void note_semicolon(self) noexcept:
        self.has_semicolon = True

    cdef void set_traced(self, bint is_traced) noexcept:
        self.is_traced = is_traced

    cdef void set_forwarded_proto(self, bint is_https, bint is_set) noexcept:
        """What X-Forwarded-Proto says, if it `is_set` by the router."""
        self.is_proto_https = is_https
        self.is_proto_set = is_set

    cdef void forget_upgrade(self) noexcept:
        self.wants_upgrade = self.wants_websocket = False

    cdef void close_backend(self) noexcept:
        """End the backend's connection after this request."""
        self.closes_backend = True

    cdef ChangedHeaders changes(self):
        """The headers that handlers have set and removed; the caller adds to them."""
        if self.changed is None:
            self.changed = ChangedHeaders()
        return self.changed

    cdef int stick_to(self, bytes identity, bint is_must) except -1:
        """Prefer this instance, or take no other."""
        self.sticky = identity
        self.must_stick = is_must
        return 0

    cdef int set_sticky_metadata(self, bytes metadata) except -1:
        self.sticky_metadata = metadata
        return 0

    cdef int set_signature(self, str url, object error) except -1:
        """A signature was read: it names `url`, or it does not hold for `error`."""
        self.signed_url = url
        self.signature_error = error
        return 0

    cdef void trust_return(self, bint is_trusted) noexcept:
        self.is_trusted_return = is_trusted

    cdef void confirm_return(self) noexcept:
        self.is_return = True

    # --- on the way to a backend

    cdef int set_prepared(self, bytes prepared, Slice sent_forwarded_for, bint lacks_scheme) except -1:
        """Keep the outgoing head, which is rendered up to the headers that depend on the endpoint."""
        self.prepared = prepared
        self.sent_forwarded_for = sent_forwarded_for
        self.lacks_scheme = lacks_scheme
        return 0

    cdef int forget_named(self, Head head) except -1:
        """Leave out of the log line what `Connection` has named: the line shows the request that was sent on."""
        if head.is_dropped(HEADER_REFERER):
            self.referer.length = 0
        if head.is_dropped(HEADER_USER_AGENT):
            self.user_agent.length = 0
        if head.is_dropped(HEADER_X_FORWARDED_PROTO):
            self.forwarded_proto.length = 0
            self.is_proto_set = False
        return 0

    cdef void count_body(self, int64_t payload, bint is_last) noexcept:
        self.bytes_received += payload
        if is_last:
            self.is_done = True

    cdef void want_body(self) noexcept:
        """The body is not held back any more."""
        self.is_body_wanted = True

    cdef int hold(self, bytes framed) except -1:
        """Keep a piece of body that no backend can take yet."""
        if self.held is None:
            # Not a list of them: pieces of a byte would cost many times what is in them.
            self.held = bytearray()
        self.held += framed
        self.held_size += PyBytes_GET_SIZE(framed)
        return 0

    cdef bytes take_held(self):
        """Give up the body bytes that were held back, of which there must be some, and return them."""
        cdef bytes body = bytes(self.held)
        self.drop_held()
        return body

    cdef int drop_held(self) except -1:
        self.held = None
        self.held_size = 0
        return 0
