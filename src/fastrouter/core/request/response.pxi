# Response: what an exchange's client gets, from a backend or from the router itself: how far it is, and how its head is rendered.

@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Response:
    # The garbage collector does not track it, because it refers to nothing but bytes.

    cdef void start(self, int status) noexcept:
        """The head is sent. From here on only the end of its connection can tell the client that something is wrong."""
        self.status = status
        self.is_started = True

    cdef void note(self, int status, Py_ssize_t size) noexcept:
        """Set what the log line shows: a response with a body of `size` bytes, whether or not anybody gets it."""
        self.status = status
        self.bytes_sent = size

    cdef inline void count_body(self, int64_t size) noexcept:
        self.bytes_sent += size

    cdef bint count_interim(self) noexcept:
        """Count an interim response. False: there are too many."""
        self.interims += 1
        return self.interims <= INTERIM_MAX

    cdef void end(self) noexcept:
        """The last byte of the response is with the client's transport."""
        self.is_done = True

    cdef int never_index(self, set names) except -1:
        """Keep fields with these names out of the tables of a client that speaks HTTP/2, too."""
        self.never_indexed = names if self.never_indexed is None else self.never_indexed | names
        return 0

    cdef void close_after(self) noexcept:
        """This response is the last one on its connection."""
        self.is_last = True

    cdef int break_off(self, bytes router_error) except -1:
        """The response breaks off, or a fault of ours ends it. The log has `router_error`, unless it has another one already."""
        self.is_broken_off = True
        if self.router_error is None:
            self.router_error = router_error
        return 0

    cdef int set_router_error(self, bytes router_error) except -1:
        self.router_error = router_error
        return 0

    # --- heads of backends' responses

    cdef int put_fields(self, Head head) except -1:
        """The response fields that are passed on, in the backend's order; framing is the caller's."""
        head.drop(HEADER_X_VCAP_REQUEST_ID, only_empty=True)
        return head.put_fields(_own_of_responses)

    cdef void put_router_fields(self, Exchange exchange, Head head) noexcept:
        """X-Vcap-Request-Id, unless the backend set one: then that counts; and the trace headers, if they were asked for."""
        if not head.passes_on(HEADER_X_VCAP_REQUEST_ID):
            put_line(b"X-Vcap-Request-Id: ", exchange.request.trace.request_id, 36)
        if exchange.request.is_traced:
            put_text(b"X-Vcap-Router: ")
            put_bytes(exchange.plane.settings.local_ip)
            put_text(b"\r\nX-Vcap-Backend: ")
            put_bytes(exchange.round_trip.endpoint.address_bytes)
            put_text(b"\r\nX-Cf-Routeendpoint: ")
            put_bytes(exchange.round_trip.endpoint.address_bytes)
            put_text(b"\r\n")

    cdef bytes render_interim(self, Exchange exchange, Head head):
        """A 1xx response but 101, passed on as it is."""
        cdef bint is_dated
        cdef Py_ssize_t start
        head.drop_hop_by_hop()
        begin_message()
        put_status_line(1, head.status)
        start = message_size()
        self.put_fields(head)
        rewrite(exchange, start, &is_dated)
        put_text(b"\r\n")
        return take_message()

    cdef bytes render_switch(self, Exchange exchange, Head head):
        """A 101. Its hop-by-hop headers stay: they agree on the upgrade (spec 4.5). No rule rewrites them (spec 4.2)."""
        cdef bytes sticky
        if exchange.request.is_traced:
            drop_trace_fields(head)
        sticky = sticky_lines(exchange, head)
        begin_message()
        put_status_line(exchange.request.minor, 101)
        self.put_fields(head)
        put_bytes(sticky)
        self.put_router_fields(exchange, head)
        put_text(b"\r\n")
        return take_message()

    cdef int render_head(self, Exchange exchange, Head head, int framing) except -1:
        """Begin a message with the final response head as the client gets it."""
        cdef Py_ssize_t start
        cdef bytes sticky
        cdef bint is_dated = head.has(HEADER_DATE)
        head.drop_hop_by_hop()
        if exchange.request.is_traced:
            drop_trace_fields(head)
        self.framing = framing
        if framing == FRAMING_CHUNKED or framing == FRAMING_UNTIL_CLOSE:
            if exchange.request.minor == 1:
                self.framing = FRAMING_CHUNKED
            else:
                self.framing = FRAMING_UNTIL_CLOSE
                self.is_last = True
        if head.has(HEADER_X_CF_ROUTERERROR):
            self.router_error = head.text_of(HEADER_X_CF_ROUTERERROR)
        sticky = sticky_lines(exchange, head)
        begin_message()
        put_status_line(exchange.request.minor, head.status)
        start = message_size()
        self.put_fields(head)
        put_bytes(sticky)
        self.put_router_fields(exchange, head)
        rewrite(exchange, start, &is_dated)
        if not is_dated:
            put_bytes(date_line())
        # HEAD keeps the length its GET would have had; 204 and 304 have none (RFC 9110 section 8.6, and as Go does for 304).
        # Chunks in front of a stream of HTTP/2 are no contradiction to it.
        if framing == FRAMING_LENGTH or (head.content_length() >= 0 and (
            exchange.request.is_http2 if framing == FRAMING_CHUNKED
            else exchange.request.is_head and head.status not in (204, 304)
        )):
            put_framing(head, FRAMING_LENGTH)
        if self.framing == FRAMING_CHUNKED:
            put_framing(head, FRAMING_CHUNKED)
        put_persistence(exchange.request.minor, self.is_last)
        put_text(b"\r\n")
        return 0


cdef void drop_trace_fields(Head head) noexcept:
    """The router's trace headers take the place of what the backend says."""
    head.drop(HEADER_X_VCAP_ROUTER)
    head.drop(HEADER_X_VCAP_BACKEND)
    head.drop(HEADER_X_CF_ROUTEENDPOINT)
