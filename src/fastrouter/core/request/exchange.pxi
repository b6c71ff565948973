# Exchange: one request and its response, the only thing the two connections both know.
#
# Client side events come in through `take_body`, `on_client_*`; backend side events through `on_interim`, `on_response_head`,
# `relay_*`, `on_backend_*`. Whatever happens, it ends in `finish`, once.

cdef class Exchange(Timed):
    def __cinit__(self, ClientConnection client):
        self.client = client
        self.plane = client.plane
        self.received_ns = monotonic_ns()
        self.received_wall_ns = self.received_ns + self.plane.wall_offset_ns
        self.cursor = -1
        self.is_body_wanted = True

    def __repr__(self):
        # The states of docs/life-of-a-request.md.
        if self.is_finished:
            state = "finished"
        elif self.is_tunnel:
            state = "half-closed tunnel" if self.is_half_closed else "tunnel"
        elif self.is_response_started:
            state = "answering"
        elif self.is_head_sent:
            state = "sent" if self.is_body_wanted else "sent without its body"
        elif self.backend is not None:
            state = "dialling"
        else:
            state = "waiting to dial" if self.waits_to_dial else "new"
        head = b"" if self.head is None else self.head
        target = head[self.host.start :][: self.host.length] + head[self.path.start :][: self.path.length]
        where = "" if self.endpoint is None else f" {self.endpoint.address}"
        return f"<Exchange {state}: {head[self.method.start :][: self.method.length].decode()} {target.decode('latin-1')}{where}>"

    cdef int read_head(self, bytes raw, Head head) except -1:
        """Take over what must outlive this read. `head` was scanned from `raw`."""
        cdef const char* base = head.base
        cdef Slice target = head.target
        cdef const char* mark
        cdef const char* path
        cdef const char* cut
        cdef const char* end
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
        self.closes_backend = not self.plane.settings.backend_keep_alive
        if self.plane.access_log is not None and self.plane.access_log.extra_headers:
            self.logged_values = logged_values(self.plane.access_log, head)
        return 0

    cdef int set_framing(self, int framing, Head head) except -1:
        self.request_framing = framing
        self.is_request_done = framing == FRAMING_NONE
        if head.value_of(HEADER_EXPECT).length:
            # Gorouter's closing variant (spec 4.4): the connection is not kept whatever becomes of the body.
            self.closes_backend = True
            if self.minor == 1 and framing != FRAMING_NONE:
                self.expects_continue = True
                self.is_body_wanted = False
        return 0

    cdef bint is_replayable(self) noexcept:
        """Whether it may be sent again although a backend may have seen it: nothing to change, nothing to read (spec 5.4)."""
        return self.is_idempotent and self.request_framing == FRAMING_NONE

    # --- request: client -> backend ---------------------------------------------------------------------------------------

    cdef bint can_take_body(self) noexcept:
        """Whether more request body may be read from the client now (back-pressure)."""
        cdef BackendConnection backend = self.backend
        if self.held_size >= self.plane.settings.max_buffered:
            return False
        return backend is None or not backend.is_write_paused

    cdef int take_body(self, bytes framed, int64_t payload, bint is_last) except -1:
        """The next piece of the request body, framed for the backend; `payload` bytes of it are body."""
        self.bytes_received += payload
        if is_last:
            self.is_request_done = True
        if PyBytes_GET_SIZE(framed) == 0:
            return 0
        if self.backend is not None and self.is_head_sent and self.is_body_wanted:
            self.backend.send(framed)
        else:
            if self.held is None:
                self.held = []
            self.held.append(framed)
            self.held_size += PyBytes_GET_SIZE(framed)
        return 0

    cdef int send_request(self) except -1:
        """Door 6: the head, and with it the body bytes that came meanwhile."""
        cdef bytes prepared = self.prepared
        cdef bytes identity = self.endpoint.headers
        cdef BackendConnection backend = self.backend
        cdef char* out
        if self.lacks_scheme:
            prepared = prepared[: self.method.length + 1] + (b"https:" if self.endpoint.tls else b"http:") + (
                prepared[self.method.length + 1 :]
            )
        out = scratch_reserve(PyBytes_GET_SIZE(prepared) + PyBytes_GET_SIZE(identity) + 2)
        out = put_bytes(out, prepared)
        out = put_bytes(out, identity)
        out = put_text(out, b"\r\n")
        self.is_head_sent = True
        self.local_address = backend.local_address
        if self.held is not None and self.is_body_wanted:
            # Until now nothing of it was sent, so a failed dial has lost nothing.
            backend.send(scratch_take(out) + self.take_held())
        else:
            backend.write_rendered(out)
        if not self.is_body_wanted and self.continue_wait is None:
            self.continue_wait = ContinueWait(self)
            self.continue_wait.arm(self.plane.continue_waits)
        if not self.is_finished:
            self.client.on_body_room()
        return 0

    cdef bytes take_held(self):
        """The body bytes that were held back, which there are; they are not held any more."""
        cdef bytes body = b"".join(self.held)
        self.held = None
        self.held_size = 0
        return body

    cdef int open_body(self) except -1:
        """Start sending the body that `Expect: 100-continue` held back."""
        self.is_body_wanted = True
        if self.continue_wait is not None:
            self.continue_wait.disarm()
        if self.held is not None and self.is_head_sent and self.backend is not None:
            self.backend.send(self.take_held())
        self.client.on_body_room()
        return 0

    # --- response: backend -> client --------------------------------------------------------------------------------------

    cdef int on_interim(self, Head head) except -1:
        """A 1xx response: passed on as it is, and the backend's 100 lets the body go."""
        cdef bint is_dated
        cdef char* start
        cdef char* out
        if self.minor == 1:
            head.drop_hop_by_hop()
            out = scratch_reserve(2 * head.length + 64 + self.plane.settings.rewriting_room)
            start = put_status_line(out, 1, head.status)
            out = rewrite(self, start, self._put_fields(start, head), &is_dated)
            self.client.write(scratch_take(put_text(out, b"\r\n")))
        if head.status == 100 and not self.is_body_wanted:
            self.open_body()
        return 0

    cdef char* _put_fields(self, char* out, Head head) noexcept:
        """The response fields that are passed on, in the backend's order; framing is the caller's."""
        head.drop(HEADER_X_VCAP_REQUEST_ID, only_empty=True)
        return head.put_fields(out, _own_of_responses)

    cdef char* _put_router_fields(self, char* out, Head head) noexcept:
        """X-Vcap-Request-Id, unless the backend set one: then that counts; and the trace headers, if they were asked for."""
        if not head.passes_on(HEADER_X_VCAP_REQUEST_ID):
            out = put_text(out, b"X-Vcap-Request-Id: ")
            out = put(out, self.request_id, 36)
            out = put_text(out, b"\r\n")
        if self.is_traced:
            out = put_bytes(put_text(out, b"X-Vcap-Router: "), self.plane.settings.local_ip)
            out = put_bytes(put_text(out, b"\r\nX-Vcap-Backend: "), self.endpoint.address_bytes)
            out = put_bytes(put_text(out, b"\r\nX-Cf-Routeendpoint: "), self.endpoint.address_bytes)
            out = put_text(out, b"\r\n")
        return out

    cdef void _drop_trace_fields(self, Head head) noexcept:
        """The router's trace headers take the place of what the backend says."""
        head.drop(HEADER_X_VCAP_ROUTER)
        head.drop(HEADER_X_VCAP_BACKEND)
        head.drop(HEADER_X_CF_ROUTEENDPOINT)

    cdef int _on_response_head(self, int status) except -1:
        """The attempt has succeeded: the backend, or the route service, has said something final."""
        self.has_response = True
        self.release_count()
        if self.service is not None:
            note_service_response(self, status)
        if self.wants_websocket:
            # Gorouter counts any response to a WebSocket request as an upgrade (spec 5.1).
            self.plane.counters[COUNTER_WEBSOCKET_UPGRADES] += 1
        return 0

    cdef char* render_response_head(self, Head head, int framing, Py_ssize_t room) except NULL:
        """Door 7: the final response head as the client gets it, with `room` bytes left behind it in the scratch buffer."""
        cdef ClientConnection client = self.client
        cdef char* start
        cdef char* out
        cdef Slice value
        cdef bytes sticky
        cdef bint is_dated = head.has(HEADER_DATE)
        head.drop_hop_by_hop()
        if self.is_traced:
            self._drop_trace_fields(head)
        self.status = head.status
        self.is_response_started = True
        self._on_response_head(head.status)
        if self.continue_wait is not None:
            self.continue_wait.disarm()
        if self.plane.is_draining:
            client.keep_alive = False
        if not self.is_body_wanted and not self.is_request_done:
            # A final response instead of 100: the client may or may not send its body now, so nothing can follow.
            client.keep_alive = False
        self.response_framing = framing
        if framing == FRAMING_CHUNKED or framing == FRAMING_UNTIL_CLOSE:
            if self.minor == 1:
                self.response_framing = FRAMING_CHUNKED
            else:
                self.response_framing = FRAMING_UNTIL_CLOSE
                client.keep_alive = False
        if head.has(HEADER_X_CF_ROUTERERROR):
            self.router_error = head.text_of(HEADER_X_CF_ROUTERERROR)
        sticky = sticky_lines(self, head)
        out = scratch_reserve(
            2 * head.length + 512 + PyBytes_GET_SIZE(sticky) + self.plane.settings.rewriting_room + room
        )
        start = put_status_line(out, self.minor, head.status)
        out = self._put_fields(start, head)
        out = put_bytes(out, sticky)
        out = rewrite(self, start, self._put_router_fields(out, head), &is_dated)
        if not is_dated:
            out = put_bytes(out, date_line())
        # HEAD keeps the length its GET would have had; 204 and 304 have none (RFC 9110 section 8.6, and as Go does for 304).
        if framing == FRAMING_LENGTH or (self.is_head and head.status not in (204, 304) and head.content_length() >= 0):
            out = put_text(out, b"Content-Length: ")
            out = put_decimal(out, head.content_length())
            out = put_text(out, b"\r\n")
        elif self.response_framing == FRAMING_CHUNKED:
            if head.has(HEADER_TRAILER):
                value = head.value_of(HEADER_TRAILER)
                out = put_text(out, b"Trailer: ")
                out = put(out, head.base + value.start, value.length)
                out = put_text(out, b"\r\n")
            out = put_text(out, b"Transfer-Encoding: chunked\r\n")
        out = put_persistence(out, self.minor, client.keep_alive)
        return put_text(out, b"\r\n")

    cdef int switch_protocols(self, Head head) except -1:
        """101: from here on both sides are raw bytes (spec 5.8)."""
        cdef bytes sticky
        cdef char* out
        self.status = 101
        self.is_response_started = True
        self.is_tunnel = True
        self._on_response_head(101)
        self.disarm()
        if self.continue_wait is not None:
            # Nothing of the router's own may get into the tunnel.
            self.continue_wait.disarm()
        # Hop-by-hop headers stay here: they are what agrees on the upgrade (spec 4.5). No rule rewrites them (spec 4.2).
        if self.is_traced:
            self._drop_trace_fields(head)
        sticky = sticky_lines(self, head)
        out = scratch_reserve(2 * head.length + 512 + PyBytes_GET_SIZE(sticky))
        out = put_status_line(out, self.minor, 101)
        out = put_bytes(self._put_fields(out, head), sticky)
        out = self._put_router_fields(out, head)
        out = put_text(out, b"\r\n")
        self.client.write(scratch_take(out))
        return begin_tunnel(self.client, self)

    cdef int reject_switch(self) except -1:
        """101 to another protocol than the one asked for.

        To Gorouter the attempt has succeeded with that, and counts as such; then Go's reverse proxy looks at the response, and
        puts 502 in its place without asking Gorouter's error handler.
        """
        self._on_response_head(101)
        self.detach_backend()
        respond(self, 502, b"", b"")
        return self.finish()

    cdef int on_response_end(self) except -1:
        """The last byte of the response is with the client's transport."""
        self.is_response_done = True
        self.finish()
        return 0

    # --- endings ------------------------------------------------------------------------------------------------------------

    cdef int on_backend_lost(self, Failure failure, bint was_reused, bint got_bytes) except -1:
        """The backend connection is gone or unusable; it has already let go of this exchange."""
        self.backend = None
        if self.is_finished:
            return 0
        if self.is_response_started:
            # Part of a response is out: only a broken connection tells the client that the rest is missing (spec 4.5).
            self.failure = failure
            if self.is_tunnel:
                self.client.close_after_write()
            else:
                self.is_broken_off = True
                if self.router_error is None:
                    self.router_error = router_error_of(failure)
                self.client.abort_response(self.response_framing == FRAMING_UNTIL_CLOSE)
            self.finish()
            return 0
        self.was_head_sent = self.is_head_sent
        self.is_head_sent = False
        on_attempt_failed(self, failure, was_reused, got_bytes)
        return 0

    cdef int on_client_gone(self, object error) except -1:
        """The client hung up (`error` of the system, or None): the backend is cut off, no endpoint is marked (spec 5.10)."""
        if self.is_finished:
            return 0
        if self.is_response_started:
            if not self.is_tunnel:
                self.is_broken_off = True
                self._log_broken_stream(error)
            self.finish()
        else:
            give_up_attempt(self)
        return 0

    cdef int _log_broken_stream(self, object error) except -1:
        """The client is gone before it had the whole response (spec 9.7)."""
        cdef int64_t total = -1
        if self.backend is not None and self.backend.framing.kind == FRAMING_LENGTH:
            total = self.bytes_sent + self.backend.framing.remaining
        if self.router_error is None:
            self.router_error = b"client-conn-closed-during-response-streaming"
        return self.log(LOG_ERROR, "client-conn-closed-during-response-streaming", {
            "error": "EOF" if error is None else f"write tcp {self.client.address.decode()}: write: {errno_text(error)}",
            "bytes_written": self.bytes_sent, "total_size": total, "status": self.status,
            "vcap_request_id": self.request_id_text(),
        })

    cdef on_deadline(self, DeadlineQueue queue):
        """The whole-attempt timeout (spec 5.5)."""
        cdef int kind = FAILURE_TIMEOUT if self.is_head_sent else FAILURE_INCOMPLETE
        cdef bint was_reused = self.backend is not None and self.backend.was_used
        self.log(LOG_ERROR, "backend-request-timeout", {
            **({} if self.service is not None else described_destination(self)),
            "error": "context deadline exceeded", "vcap_request_id": self.request_id_text(),
        })
        self.detach_backend()
        self.on_backend_lost(Failure(kind, "context deadline exceeded"), was_reused, True)

    cdef int on_panic(self, object error) except -1:
        return respond_panic(self, error)

    cdef str request_id_text(self):
        return self.request_id[:36].decode("ascii")

    cdef int log(self, int level, str message, dict data) except -1:
        """Write a line of this request to the process log, if there is one: with the ids of its trace (spec 6.6)."""
        cdef object event_log = self.plane.event_log
        if event_log is not None:
            name_trace(self)
            event_log(level, message, {
                "trace-id": self.trace_id[: self.trace_id_length].decode("ascii"),
                "span-id": self.span_id[:16].decode("ascii"),
                **data,
            })
        return 0

    cdef int detach_backend(self) except -1:
        """Cut the backend off in the middle of a request it must not take for complete."""
        cdef BackendConnection backend = self.backend
        if backend is not None:
            self.backend = None
            backend.exchange = None
            backend.abort()
        return 0

    cdef int release_count(self) noexcept:
        """The endpoint is counted as busy until its response head arrives (spec 5.1)."""
        if self.is_counted:
            self.is_counted = False
            self.endpoint.unreserve()
        return 0

    cdef int finish(self) except -1:
        """The one exit: let go of the backend, count, log, and give the client its next turn."""
        cdef BackendConnection backend = self.backend
        cdef ClientConnection client = self.client
        if self.is_finished:
            return 0
        self.is_finished = True
        self.disarm()
        self.release_count()
        if self.continue_wait is not None:
            self.continue_wait.disarm()
            self.continue_wait = None
        self.held = None
        if backend is not None:
            self.backend = None
            backend.exchange = None
            if self.is_response_done and self.is_request_done and not self.closes_backend:
                backend.release()
            elif self.is_tunnel:
                backend.close()
            else:
                backend.abort()
        self.finished_ns = monotonic_ns()
        self._count()
        if self.plane.access_log is not None:
            self.plane.access_log.record(self)
        client.on_exchange_end()
        return 0

    cdef int _count(self) except -1:
        """What Gorouter's reporter counts when a request is over (spec 4.2)."""
        cdef DataPlane plane = self.plane
        cdef int64_t total = self.finished_ns - self.received_ns
        cdef int group
        plane.counters[COUNTER_REQUESTS] += 1
        if self.is_broken_off:
            # In Gorouter a panic then leaves the handlers, past all that would count.
            return 0
        if plane.settings.observes_apps:
            # What no app has seen is the router's own, as are apps without a label: row 0.
            plane.shared.observe(HISTOGRAM_HTTP, 0 if self.endpoint is None else self.endpoint.source_row, total / 1e9)
        if self.endpoint is None:
            return 0
        # 101 counts as xxx, as Gorouter has it (spec 5.8).
        group = self.status // 100 - 2 if 200 <= self.status < 600 else STATUS_GROUPS - 1
        plane.counters[COUNTERS_RESPONSES + STATUS_GROUPS * self.endpoint.component_row + group] += 1
        if self.proxy_started_ns and plane.settings.observes_requests:
            plane.shared.observe(HISTOGRAM_LATENCY, self.endpoint.component_row, total / 1e6)
            plane.shared.observe(HISTOGRAM_GOROUTER, 0, (self.proxy_started_ns - self.received_ns) / 1e9)
        if plane.settings.observes_routes:
            plane.shared.observe(HISTOGRAM_ROUTE, self.pool.latency_row, total / 1e9)
        return 0
