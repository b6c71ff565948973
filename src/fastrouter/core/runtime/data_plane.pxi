# DataPlane: what the connections and exchanges of one worker share: deadlines, turns, counters, the table; and its life.

# Seconds between two checks of the deadlines: every wait may last this much longer than its timeout.
cdef double TICK_SECONDS = 0.1
# A tick that comes so many seconds after the one before is late: the process was held up.
cdef int64_t LATE_NS = 200000000
# How long one turn of the loop spends on waiters whose time is over.
cdef int64_t EXPIRY_NS = 1000000
# After so many late ticks in a row deadlines are checked all the same.
cdef int LATE_TICKS_MAX = 20
# Between two log lines about a lack of descriptors.
cdef int64_t STARVED_INTERVAL_NS = 30000000000
# How long a backend may leave `Expect: 100-continue` unanswered before the router asks for the body itself (spec 5.5).
cdef double CONTINUE_SECONDS = 1.0
# How long a client may go on sending after the last response on its connection.
cdef double LINGER_SECONDS = 1.0


cdef class DataPlane:
    def __init__(self, RouteTable table not None, Settings settings=None, AccessLog access_log=None, event_log=None,
                 on_prune=None, Stats stats=None, *, table_log=None, Metron metron=None):
        if settings is None:
            settings = Settings()
        self.table = table
        self.settings = settings
        self.access_log = access_log
        self.metron = metron
        self.logged_headers = logged_headers_of(access_log, None if metron is None else metron.log)
        self.event_log = event_log
        self.table_log = event_log if table_log is None else table_log
        self.on_prune = on_prune
        self.shared = Stats.private() if stats is None else stats
        self.counters = self.shared.counters
        self.route_counters = table.counters
        self.is_healthy = True
        self.clients = set()
        self.handshaking = set()
        self.backends = set()
        self.resetting = set()
        self.turns = Turns()
        self.gathered = GatheredWrites()
        self.large_heads = LargeHeads(settings, self.shared)
        self.poll = SocketPoll()
        self.route_waits = RouteWaits(settings.route_patience, self.turns)
        self.proxy_headers = DeadlineQueue(settings.proxy_header_timeout)
        self.header_reads = DeadlineQueue(settings.read_header_timeout or settings.frontend_idle_timeout)
        self.half_closes = DeadlineQueue(settings.half_close_timeout)
        self.tunnel_silences = DeadlineQueue(settings.tunnel_silence_timeout)
        self.client_idles = DeadlineQueue(settings.frontend_idle_timeout)
        self.lingerings = DeadlineQueue(LINGER_SECONDS)
        self.closings = DeadlineQueue(settings.closing_timeout)
        self.continue_waits = DeadlineQueue(CONTINUE_SECONDS)
        self.dials = DeadlineQueue(settings.dial_timeout)
        self.handshakes = DeadlineQueue(settings.tls_handshake_timeout)
        self.attempts = DeadlineQueue(settings.endpoint_timeout)
        self.http2_attempts = DeadlineQueue(settings.http2_endpoint_timeout or settings.endpoint_timeout)
        self.stalls = DeadlineQueue(settings.closing_timeout)
        self.backend_idles = DeadlineQueue(settings.backend_idle_timeout)
        self.pings = DeadlineQueue(settings.http2_ping_interval)
        self.ping_answers = DeadlineQueue(settings.http2_ping_timeout)
        self.deadlines = (
            self.proxy_headers, self.header_reads, self.half_closes, self.tunnel_silences, self.client_idles, self.lingerings,
            self.closings, self.continue_waits, self.dials, self.handshakes, self.attempts, self.http2_attempts, self.stalls,
            self.backend_idles, self.pings, self.ping_answers,
        )
        self.expiring = PyTuple_GET_SIZE(self.deadlines)

    # --- life of the worker

    def start(self, loop):
        """Begin the coarse tick on `loop`, which must be the running loop's owner of all connections."""
        self.loop = loop
        self.turns.loop = self.poll.loop = self.gathered.loop = loop
        self._tick()

    def stop(self):
        """End the tick, cut every connection and flush the log.

        A connection hears of its end in the next turn of the loop: what that logs is flushed by whoever has the AccessLog.
        """
        cdef AcceptedConnection client
        if self.tick_handle is not None:
            self.tick_handle.cancel()
            self.tick_handle = None
        # Clients that are aborted now have not left by themselves, so no failed attempt is logged.
        self.event_log = self.table_log = None
        for client in list(self.clients):
            client.abort()
        for connection in list(self.handshaking):
            connection.abort()
        for backend in list(self.backends):
            (<DialledConnection>backend).abort()
        self.turns.clear()
        self.gathered.clear()
        self.poll.close()
        self.route_waits.clear()
        self.tails = self.twin = None
        if self.access_log is not None:
            self.access_log.flush()
        if self.metron is not None:
            self.metron.flush()

    def drain(self, *, bint closes_idle=True):
        """Close idle connections, and from now on each one as it becomes idle (spec 1.5).

        Without `closes_idle`, a connection that is idle now is closed after its next response; so is, in any case, one whose
        next request has arrived and was not read yet.
        """
        cdef AcceptedConnection client
        self.is_draining = True
        self.closes_idle = self.closes_idle or closes_idle
        for client in list(self.clients):
            client.drain(closes_idle)

    def set_health(self, bint is_healthy):
        """Set the response to health checks by User-Agent; it is healthy until the first call."""
        self.is_healthy = is_healthy

    def set_debug(self, bint logs_debug):
        """Set whether `event_log` gets lines of level 0; it does not until the first call."""
        self.logs_debug = logs_debug

    def on_table_changed(self):
        """Let requests go on that have waited for a route which is there now."""
        self.route_waits.on_change(self.table)

    def connection_counts(self):
        """(active, idle) client connections; tunnels and those that never sent a byte are in neither (spec 1.5)."""
        cdef AcceptedConnection client
        cdef int active = 0
        cdef int idle = 0
        for client in self.clients:
            if client.is_idle():
                idle += 1
            elif client.is_active():
                active += 1
        return active, idle

    def has_connections(self):
        """Whether there are client connections, including those that are still in a TLS handshake or PROXY header."""
        return bool(self.clients or self.handshaking)

    def new_client(self):
        """Protocol factory for `loop.create_server`."""
        return ClientConnection(self)

    def add_tail(self, Tail tail not None):
        """Have `tail` record requests that end from now on."""
        self.tails = [*(self.tails or ()), tail]

    def remove_tail(self, Tail tail not None):
        """Have `tail`, which was added, record no more."""
        self.tails = [other for other in self.tails or () if other is not tail] or None

    cdef DataPlane as_twin(self):
        """A data plane with the same table, settings and health, whose exchanges go nowhere and count nowhere."""
        if self.twin is None:
            self.twin = DataPlane(self.table, self.settings)
            self.twin.route_counters = None
        self.twin.is_healthy = self.is_healthy
        return self.twin

    def stats(self):
        """Counters of this data plane by name, and gauges of now."""
        return self.shared.counts(self.shared.worker)

    def _tick(self):
        cdef int64_t now = monotonic_ns()
        self.late_ticks = self.late_ticks + 1 if self.ticked_ns and now - self.ticked_ns > LATE_NS else 0
        self.ticked_ns = now
        self.wall_offset_ns = wall_ns() - now
        self.tick_handle = self.loop.call_later(TICK_SECONDS, self._tick)
        self._look_for_descriptors()
        if self.resetting:
            self._reset_delivered()
        if self.access_log is not None:
            self.access_log.flush()
        if self.metron is not None:
            self.metron.tick(now)
        # Timers come before sockets in a turn of the loop. If this process was held up, the awaited bytes may be in the sockets
        # already, and reading them may take several turns. So deadlines are left to the next tick, unless all ticks are late.
        if self.late_ticks == 0 or self.late_ticks > LATE_TICKS_MAX:
            self.loop.call_soon(self._look)

    def _look(self):
        # call_soon runs before this turn's poll of the sockets; a second call_soon from there runs behind it.
        if self.expiring == PyTuple_GET_SIZE(self.deadlines):
            self.expiring = 0
            self.loop.call_soon(self._expire)

    def _expire(self):
        """Tell waiters whose time is over, for EXPIRY_NS in this turn of the loop: there may be thousands at once."""
        cdef int64_t until = monotonic_ns() + EXPIRY_NS
        if self.tick_handle is None:
            return
        while self.expiring < PyTuple_GET_SIZE(self.deadlines):
            if not (<DeadlineQueue>self.deadlines[self.expiring]).expire(self.ticked_ns, until):
                self.loop.call_soon(self._expire)
                return
            self.expiring += 1

    cdef int _reset_delivered(self) except -1:
        cdef ClientConnection client
        for client in list(self.resetting):
            if client.has_delivered():
                client.reset()
        return 0

    cdef int _look_for_descriptors(self) except -1:
        """Log, once an interval, that connections are refused or cannot be dialled because this process may open no more.

        libuv accepts and closes connections silently then, so a socket is opened as a test.
        """
        cdef int descriptor = socket(AF_UNIX, SOCK_STREAM_NUMBER, 0)
        if descriptor >= 0:
            close(descriptor)
        else:
            self.starved_errno = errno
        if self.starved_errno and (self.starved_ns == 0 or self.ticked_ns - self.starved_ns > STARVED_INTERVAL_NS):
            self.log(LOG_ERROR, "out-of-resources", {
                "error": os_strerror(self.starved_errno).lower(), "refuses-clients": descriptor < 0,
                "failed-dials": self.starved_dials,
            })
            self.starved_ns = self.ticked_ns
            self.starved_errno = 0
            self.starved_dials = 0
        return 0

    cdef int on_starved_dial(self, int number) except -1:
        """Log that a dial has failed with errno `number`, because this process or machine has run out of a resource."""
        self.starved_dials += 1
        return self.on_starved(number)

    cdef int on_starved(self, int number) except -1:
        """The same of a connection that was there already."""
        self.starved_errno = number
        return 0

    cdef int log(self, int level, str message, dict data) except -1:
        """Write to the process log, if there is one."""
        if self.event_log is not None:
            self.event_log(level, message, data)
        return 0

    # --- lookup

    cdef inline bint tells_times(self) noexcept:
        """Whether somebody listens to the times of requests."""
        return self.metron is not None and self.metron.sends_values and self.metron.is_wanted()

    cdef EndpointPool find(self, const char* host, Py_ssize_t host_length, const char* path, Py_ssize_t path_length,
                           bint is_final=True):
        """The pool of a route, or None. Every lookup is counted, whatever it is for and whether it finds anything (spec 3.7).

        A lookup that is not final and finds no endpoint is not counted: it is repeated later, and counted then.
        """
        cdef EndpointPool pool
        cdef int64_t took_ns
        if not (self.settings.observes_requests or self.tells_times()):
            return self.table.find(host, host_length, path, path_length)
        took_ns = -monotonic_ns()
        pool = self.table.find(host, host_length, path, path_length)
        if is_final or (pool is not None and PyList_GET_SIZE(pool.endpoints) > 0):
            took_ns += monotonic_ns()
            if self.settings.observes_requests:
                self.shared.observe(HISTOGRAM_LOOKUP, 0, took_ns)
            if self.tells_times():
                self.metron.on_lookup(took_ns)
        return pool
