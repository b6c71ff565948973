# Exchange: one request and its response, between two sides that know each other only through it.
#
# What the client's side says comes in through `on_request`, `on_body` and `on_client_*`; what the backend's says through
# `on_backend_*`, `on_interim`, `on_response_*` and `on_switch`. Whatever happens, it ends in `finish`, once.

cdef Exchange new_exchange(ClientSide client, DataPlane plane):
    cdef Exchange exchange = Exchange.__new__(Exchange)
    exchange.client = client
    exchange.plane = plane
    return exchange


@cython.final
cdef class Exchange(Timed):
    def __cinit__(self):
        self.request = Request.__new__(Request)
        self.round_trip = RoundTrip.__new__(RoundTrip)
        self.response = Response.__new__(Response)

    def __repr__(self):
        cdef Request request = self.request
        cdef bytes head = b"" if request.head is None else request.head
        method = head[request.method.start :][: request.method.length].decode()
        target = head[request.host.start :][: request.host.length] + head[request.path.start :][: request.path.length]
        where = "" if self.round_trip.endpoint is None else f" {self.round_trip.endpoint.address}"
        return f"<Exchange {self.state()}: {method} {target.decode('latin-1')}{where}>"

    cdef str state(self):
        """Where it is in its life, in the words of docs/life-of-a-request.md."""
        if self.is_finished:
            return "finished"
        if self.tunnel is not None:
            return "half-closed tunnel" if self.tunnel.is_half_closed else "tunnel"
        if self.response.is_started:
            return "relaying"
        if self.round_trip.is_head_sent:
            return "sent" if self.request.is_body_wanted else "sent without its body"
        if self.backend is not None:
            return "dialling"
        return "waiting to dial" if self.round_trip.waits_to_dial else "new"

    # --- request: client -> backend ---------------------------------------------------------------------------------------

    cdef int on_request(self, bytes raw, Head head, int framing) except -1:
        """A request has been read up to its body. `head` was scanned from `raw`; `framing` is FRAMING_*."""
        self.request.read_head(raw, head, self.plane)
        return self.request.set_framing(framing, head)

    cdef bint can_take_body(self) noexcept:
        """Whether more request body may be read from the client now (back-pressure)."""
        if self.request.held_size >= self.plane.settings.max_buffered:
            return False
        return self.backend is None or not self.backend.is_full()

    cdef int on_body(self, bytes framed, int64_t payload, bint is_last) except -1:
        """The next piece of the request body, framed for the backend; `payload` bytes of it are body."""
        self.request.count_body(payload, is_last)
        if PyBytes_GET_SIZE(framed) == 0:
            return 0
        if self.backend is not None and self.round_trip.is_head_sent and self.request.is_body_wanted:
            return self.backend.write(framed)
        return self.request.hold(framed)

    cdef int attach(self, BackendSide backend) except -1:
        """The attempt under way goes to this backend, which may not be connected yet."""
        self.backend = backend
        return backend.serve(self)

    cdef int change_backend(self, BackendSide backend) except -1:
        """The attempt under way goes to this backend instead, which will call `on_backend_ready`."""
        self.backend = backend
        return 0

    cdef int on_backend_ready(self) except -1:
        """Door 6: the backend is connected. It gets the head, and with it the body bytes that came meanwhile."""
        cdef BackendSide backend = self.backend
        render_request(self)
        self.round_trip.on_sent(backend.local_address())
        if self.request.held is not None and self.request.is_body_wanted:
            # Until now nothing of it was sent, so a failed dial has lost nothing.
            backend.write(take_message() + self.request.take_held())
        else:
            backend.write_rendered()
        if not self.request.is_body_wanted and self.continue_wait is None:
            self.continue_wait = ContinueWait(self)
            self.continue_wait.arm(self.plane.continue_waits)
        if not self.is_finished:
            self.client.resume()
        return 0

    cdef int open_body(self) except -1:
        """Start sending the body that `Expect: 100-continue` held back."""
        self.request.want_body()
        self._end_continue_wait()
        if self.request.held is not None and self.round_trip.is_head_sent and self.backend is not None:
            self.backend.write(self.request.take_held())
        return self.client.resume()

    cdef void _end_continue_wait(self) noexcept:
        if self.continue_wait is not None:
            self.continue_wait.disarm()

    # --- response: backend -> client --------------------------------------------------------------------------------------

    cdef int on_interim(self, Head head) except -1:
        """A 1xx response: passed on as it is, and the backend's 100 lets the body go."""
        if self.request.minor == 1:
            self.client.write(self.response.render_interim(self, head))
        if head.status == 100 and not self.request.is_body_wanted:
            self.open_body()
        return 0

    cdef int on_response_head(self, Head head, int framing) except -1:
        """Door 7: a message begins with the final response head; its body is the backend's to add."""
        self.response.start(head.status)
        self.round_trip.on_success(self, head.status)
        if self.plane.metron is not None:
            self.plane.metron.on_attempt(self, head.status, announced_length(self.request.is_head, head, framing))
        self._end_continue_wait()
        if self.plane.is_draining or (not self.request.is_body_wanted and not self.request.is_done):
            # A final response instead of 100: the client may or may not send its body now, so nothing can follow.
            self.response.close_after()
        return self.response.render_head(self, head, framing)

    cdef int on_response_end(self) except -1:
        """The last byte of the response is with the client's transport."""
        self.response.end()
        return self.finish()

    cdef int on_switch(self, Head head) except -1:
        """101: from here on both sides are raw bytes (spec 5.8)."""
        cdef bytes held
        self.response.start(101)
        self.response.close_after()
        self.round_trip.on_success(self, 101)
        if self.plane.metron is not None:
            self.plane.metron.on_attempt(self, 101, 0)
        self.disarm()
        # Nothing of the router's own may get into the tunnel.
        self._end_continue_wait()
        self.tunnel = Tunnel(self)
        self.client.write(self.response.render_switch(self, head))
        if self.is_finished:
            # The write has found the client gone.
            return 0
        held = self.request.take_held() if self.request.held is not None else None
        return self.tunnel.begin(held)

    cdef int on_foreign_switch(self) except -1:
        """101 to another protocol than the one asked for.

        To Gorouter the attempt has succeeded with that, and counts as such; then Go's reverse proxy looks at the response, and
        puts 502 in its place without asking Gorouter's error handler.
        """
        self.round_trip.on_success(self, 101)
        if self.plane.metron is not None:
            self.plane.metron.on_attempt(self, 101, 0)
        self.detach_backend()
        return respond(self, 502, b"", b"")

    # --- back-pressure ------------------------------------------------------------------------------------------------------

    cdef int on_client_full(self) except -1:
        return self.backend.pause() if self.backend is not None else 0

    cdef int on_client_room(self) except -1:
        return self.backend.resume() if self.backend is not None else 0

    cdef int on_backend_full(self) except -1:
        return self.client.pause()

    cdef int on_backend_room(self) except -1:
        return self.client.resume()

    # --- endings ------------------------------------------------------------------------------------------------------------

    cdef int on_backend_lost(self, Failure failure, bint was_reused, bint got_bytes) except -1:
        """The backend is gone or unusable, and has let go of this exchange. Try again, respond, or break the response off."""
        self.backend = None
        if self.is_finished:
            return 0
        if self.tunnel is not None:
            self.round_trip.on_cut(failure)
            return self.tunnel.finish()
        if self.response.is_started:
            # Part of a response is out: only a broken connection tells the client that the rest is missing (spec 4.5).
            self.round_trip.on_cut(failure)
            self.response.break_off(router_error_of(failure))
            self.client.break_off(self.response.framing == FRAMING_UNTIL_CLOSE)
            return self.finish()
        try:
            self.round_trip.on_failed(self, failure, was_reused, got_bytes)
        except Exception as error:
            # Whatever ended the attempt, the request is not left waiting (spec 4.2, handler 1).
            respond_panic(self, error)
        return 0

    cdef int on_broken_body(self) except -1:
        """The request's body is not what its head announced. No more of it is sent, and its connection ends with the response."""
        self.response.close_after()
        if self.response.is_started:
            self.response.break_off(None)
            self.client.break_off(False)
            return self.finish()
        self.detach_backend()
        return respond(self, 400, b"Content-Type: text/plain; charset=utf-8\r\n", b"400 Bad Request")

    cdef int on_client_gone(self, object error) except -1:
        """The client hung up (`error` of the system, or None): the backend is cut off, no endpoint is marked (spec 5.10)."""
        if self.is_finished:
            return 0
        if self.tunnel is not None:
            return self.tunnel.finish()
        if not self.response.is_started:
            return self.round_trip.give_up(self, self.backend is not None and self.backend.was_used())
        self.response.break_off(b"client-conn-closed-during-response-streaming")
        self._log_broken_stream(error)
        return self.finish()

    cdef int on_tunnel_end(self) except -1:
        """Both sides of the tunnel end, once what was written is out."""
        cdef BackendSide backend = self.backend
        if backend is not None:
            self.backend = None
            backend.close()
        return self.finish()

    cdef int _log_broken_stream(self, object error) except -1:
        """The client is gone before it had the whole response (spec 9.7)."""
        cdef int64_t total = -1
        cdef bytes address = self.client.identity.address
        if self.backend is not None and self.backend.missing() >= 0:
            total = self.response.bytes_sent + self.backend.missing()
        return self.log(LOG_ERROR, "client-conn-closed-during-response-streaming", {
            "error": "EOF" if error is None else f"write tcp {address.decode()}: write: {errno_text(error)}",
            "bytes_written": self.response.bytes_sent, "total_size": total, "status": self.response.status,
            "vcap_request_id": self.request_id_text(),
        })

    cdef on_deadline(self, DeadlineQueue queue):
        """The whole-attempt timeout (spec 5.5)."""
        cdef int kind = FAILURE_TIMEOUT if self.round_trip.is_head_sent else FAILURE_INCOMPLETE
        cdef bint was_reused = self.backend is not None and self.backend.was_used()
        self.log(LOG_ERROR, "backend-request-timeout", {
            **({} if self.round_trip.service is not None else described_destination(self)),
            "error": "context deadline exceeded", "vcap_request_id": self.request_id_text(),
        })
        self.detach_backend()
        self.on_backend_lost(Failure(kind, "context deadline exceeded"), was_reused, True)

    cdef int on_panic(self, object error) except -1:
        return respond_panic(self, error)

    cdef str request_id_text(self):
        return self.request.trace.request_id[:36].decode("ascii")

    cdef const Trace* named_trace(self) except NULL:
        """Its trace, which has ids from now on."""
        name_trace(&self.request.trace)
        return &self.request.trace

    cdef int log(self, int level, str message, dict data) except -1:
        """Write a line of this request to the process log, if there is one: with the ids of its trace (spec 6.6)."""
        cdef object event_log = self.plane.event_log
        cdef const Trace* trace
        if event_log is not None:
            trace = self.named_trace()
            event_log(level, message, {
                "trace-id": trace.id[: trace.id_length].decode("ascii"), "span-id": trace.span_id[:16].decode("ascii"), **data,
            })
        return 0

    cdef int detach_backend(self) except -1:
        """Cut the backend off in the middle of a request it must not take for complete."""
        cdef BackendSide backend = self.backend
        if backend is not None:
            self.backend = None
            backend.abort()
        return 0

    cdef int finish(self) except -1:
        """The one exit: let go of the backend, count, log, and give the client its next turn."""
        cdef BackendSide backend = self.backend
        if self.is_finished:
            return 0
        self.is_finished = True
        self.disarm()
        self.round_trip.release_count()
        if self.continue_wait is not None:
            self.continue_wait.disarm()
            self.continue_wait = None
        self.request.drop_held()
        if backend is not None:
            self.backend = None
            if self.response.is_done and self.request.is_done and not self.request.closes_backend:
                backend.release()
            else:
                backend.abort()
        self.finished_ns = monotonic_ns()
        self.round_trip.leave_route(self.plane.route_counters)
        self._count()
        if self.plane.access_log is not None:
            self.plane.access_log.record(self)
        if self.plane.metron is not None:
            self.plane.metron.on_request(self)
        if self.request.span is not None:
            self.plane.spans.on_request(self)
        if self.plane.tails is not None:
            record_tails(self)
        # Exchange and tunnel refer to each other.
        self.tunnel = None
        return self.client.finish(self.response.is_last)

    cdef int refuse(self, int refusal, int status, Py_ssize_t size) except -1:
        """Log a refused request, which goes no further. `refusal` is REFUSAL_*, `size` that of the body of the response."""
        self.response.set_router_error(b"refused (%s)" % (<str>REFUSALS[refusal]).encode("ascii"))
        self.response.note(status, size)
        self.finished_ns = self.request.received_ns
        return self.plane.access_log.record(self)

    cdef int give_up(self) except -1:
        """A fault of ours has kept this exchange from finishing: end its client's connection, so that nobody waits for it."""
        if self.client.serves(self):
            self.is_finished = True
            self.disarm()
            self.round_trip.release_count()
            self.round_trip.leave_route(self.plane.route_counters)
            self.tunnel = None
            self.client.abort()
        return 0

    cdef int _count(self) except -1:
        """What Gorouter's reporter counts when a request is over (spec 4.2)."""
        cdef DataPlane plane = self.plane
        cdef RoundTrip trip = self.round_trip
        cdef Endpoint endpoint = trip.endpoint
        cdef int64_t total = self.finished_ns - self.request.received_ns
        # 101 counts as xxx, as Gorouter has it (spec 5.8).
        cdef int group = self.response.status // 100 - 2 if 200 <= self.response.status < 600 else STATUS_GROUPS - 1
        plane.counters[COUNTER_REQUESTS] += 1
        if plane.route_counters is not None and trip.route is not None and trip.route.slot:
            plane.route_counters.count(
                trip.route.slot, group, max(0, trip.attempt - 1), -1 if self.response.status == 101 else total,
                self.response.is_broken_off,
            )
        if self.response.is_broken_off:
            # In Gorouter a panic leaves the handlers then, so nothing counts it.
            return 0
        if plane.settings.observes_apps:
            # Requests that no app has seen count for the router itself, and so do apps without a label: row 0.
            plane.shared.observe(HISTOGRAM_HTTP, 0 if endpoint is None else endpoint.source_row, total / 1e9)
        if endpoint is None:
            return 0
        plane.counters[COUNTERS_RESPONSES + STATUS_GROUPS * endpoint.component_row + group] += 1
        if trip.started_ns and plane.settings.observes_requests:
            plane.shared.observe(HISTOGRAM_LATENCY, endpoint.component_row, total / 1e6)
            plane.shared.observe(HISTOGRAM_GOROUTER, 0, (trip.started_ns - self.request.received_ns) / 1e9)
        if plane.settings.observes_routes:
            plane.shared.observe(HISTOGRAM_ROUTE, trip.pool.latency_row, total / 1e9)
        return 0


cdef int64_t announced_length(bint is_head, Head head, int framing) noexcept:
    """The length of a response's body as Go knows it from the head: -1 if it is not known."""
    if framing == FRAMING_LENGTH or is_head:
        return head.content_length()
    return 0 if framing == FRAMING_NONE else -1
