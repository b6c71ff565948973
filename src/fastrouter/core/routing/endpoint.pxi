# Endpoint: one backend address, with the header lines about it rendered beforehand.
#
# There may be a hundred thousand of them, so each text is kept once, inside the header line in which it is sent; log lines and
# properties take it from there.

cdef class Endpoint:
    def __cinit__(self, *_arguments, **_keywords):
        self.total_in_flight = &self.private_in_flight[0]
        self.own_in_flight = &self.private_in_flight[1]
        self.failed_at_ns = &self.private_failed_at_ns
        self.last_failure = &self.private_last_failure
        self.distrusted_at_ns = &self.private_distrusted_at_ns
        self.used = &self.private_used

    def __init__(
        self,
        str host,
        int port,
        *,
        str app_id="",
        str instance_id="",
        str instance_index="",
        bint tls=False,
        str server_cert_domain_san="",
        str protocol="http1",
        str availability_zone="",
        str process_id="",
        str component="",
        bytes envelope_tags=b"",
        RoutePolicy policy=None,
    ):
        cdef bytes app, identity, index
        for name, text in (
            ("host", host), ("app_id", app_id), ("instance_id", instance_id), ("instance_index", instance_index)
        ):
            # These become header values. A line end would let a registration add headers.
            if not (text.isascii() and text.isprintable()):
                raise ValueError(f"{name} must be printable ASCII, not {text!r}")
            if len(text) > 1024:
                raise ValueError(f"{name} must not be longer than 1024 characters")
        if not 0 <= port <= 65535:
            raise ValueError(f"port must be 0..65535, not {port}")
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        self.address_bytes = b"%s:%d" % (host.encode("ascii"), port)
        app = app_id.encode("ascii")
        identity = instance_id.encode("ascii")
        index = instance_index.encode("ascii")
        self.headers = b"X-Cf-Applicationid: %s\r\nX-Cf-Instanceid: %s\r\nX-Cf-Instanceindex: %s\r\n" % (
            app, identity or self.address_bytes, index
        )
        self.app = slice_of(len(b"X-Cf-Applicationid: "), len(app))
        self.instance = slice_of(self.app.start + self.app.length + len(b"\r\nX-Cf-Instanceid: "), len(identity))
        self.index = slice_of(len(self.headers) - len(index) - 2, len(index))
        self.port = port
        self.tls = tls
        # Diego names a certificate after its instance: then both share one text.
        self.san = None if server_cert_domain_san == instance_id else server_cert_domain_san
        # By ALPN, or with prior knowledge. Without TLS `http2` is HTTP/1.1 (spec 5.6).
        self.is_http2 = protocol == "h2c" or (protocol == "http2" and tls)
        # There are few zones and components: all endpoints share their texts.
        self.availability_zone = intern(availability_zone)
        self.process_id = process_id
        self.component = intern(component)
        self.envelope_tags = envelope_tags or None
        self.policy = policy

    def share(self, Stats stats not None, int slot, int component_row=0, int source_row=0):
        """Count in `slot` of the memory that all workers share, not for this process alone. Raises ValueError beyond it.

        The rows are those of `latency` and `http_latency_seconds` that belong to its labels. If the slot was another
        endpoint's, its requests in flight are still subtracted when they end; its mark is cleared by `Stats.clear_mark`.
        """
        if not (0 <= component_row < HISTOGRAM_ROWS[HISTOGRAM_LATENCY] and 0 <= source_row < HISTOGRAM_ROWS[HISTOGRAM_HTTP]):
            raise ValueError(f"rows out of range: {component_row}, {source_row}")
        if not 0 <= slot < stats.slots:
            raise ValueError(f"slot must be 0..{stats.slots - 1}, not {slot}")
        self.stats = stats
        self.component_row = component_row
        self.source_row = source_row
        self.total_in_flight = &stats.in_flight[slot]
        self.own_in_flight = &stats.own_in_flight[slot]
        self.failed_at_ns = &stats.failed_at_ns[slot]
        self.last_failure = &stats.last_failures[slot]
        self.distrusted_at_ns = &stats.distrusted_at_ns[slot]
        self.used = &stats.used[slot]

    def set_draining(self, bint is_draining):
        """Keep new requests away from it, but for those of its sticky sessions, and those that name it; or do so no longer."""
        self.is_draining = is_draining

    @property
    def in_flight(self):
        """Attempts of all workers that wait for their response head."""
        return self.total_in_flight[0]

    cdef void mark(self, int failure_kind) noexcept:
        """Pass it over for a while, because an attempt has failed so."""
        self.failed_at_ns[0] = self.last_failure[0] = failure_mark(monotonic_ns(), failure_kind)

    cdef bint distrust(self, Settings settings) noexcept:
        """It has sent bytes that nobody asked for: keep none of its connections for a while. False: none are kept already."""
        cdef bint is_new = not is_distrusted(self, settings)
        self.distrusted_at_ns[0] = monotonic_ns()
        return is_new

    cdef bint reserve(self, int64_t limit) noexcept:
        """Count one more request in flight, unless there are `limit` already (0: no limit)."""
        if atomic_add_int(self.total_in_flight, 1) >= limit > 0:
            atomic_add_int(self.total_in_flight, -1)
            return False
        self.own_in_flight[0] += 1
        self.used[0] = 1
        return True

    cdef void unreserve(self) noexcept:
        atomic_add_int(self.total_in_flight, -1)
        self.own_in_flight[0] -= 1

    cdef str _cut(self, Slice text):
        return self.headers[text.start : text.start + text.length].decode("ascii")

    @property
    def address(self):
        """`host:port`, its identity in a pool."""
        return self.address_bytes.decode("ascii")

    @property
    def host(self):
        """The name or IP to dial, an IPv6 address without its brackets."""
        return self.address_bytes[: self.address_bytes.rindex(b":")].decode("ascii").strip("[]")

    @property
    def app_id(self):
        return self._cut(self.app)

    @property
    def instance_id(self):
        return self._cut(self.instance)

    @property
    def instance_index(self):
        return self._cut(self.index)

    cdef bint has_text(self, Slice which, bytes text) noexcept:
        """Whether `which` of its texts (app, instance, index) is `text`."""
        return which.length == <uint32_t>PyBytes_GET_SIZE(text) and memcmp(
            PyBytes_AS_STRING(self.headers) + which.start, PyBytes_AS_STRING(text), which.length
        ) == 0

    cdef bint is_instance(self, bytes identity) noexcept:
        """Whether `identity` is its instance id."""
        return self.instance.length > 0 and self.has_text(self.instance, identity)

    cdef bytes cookie_identity(self):
        """The instance id as a cookie value, empty without one."""
        return self.headers[self.instance.start : self.instance.start + self.instance.length]

    @property
    def server_cert_domain_san(self):
        """The name its certificate must have; empty: its address."""
        return self.instance_id if self.san is None else self.san

    cdef str certificate_name(self):
        """The name or, without one, the address that its certificate must have (spec 5.6)."""
        return self.server_cert_domain_san or self.host

    cdef str hash_identity(self):
        """By which it is known where requests are balanced by hash: its instance id or, without one, its address."""
        return self.instance_id or self.address

    cdef ConnectionPool connection_pool(self):
        """Its connections that may serve another request; made when the first request needs them."""
        if self.connections is None:
            self.connections = HTTP2ConnectionPool() if self.is_http2 else ConnectionPool()
        return self.connections

    cdef int take_over(self, Endpoint predecessor) except -1:
        """Replace `known`, registered before at the same address; keep its warm connections if the peer is the same."""
        if self is not predecessor and self.tls == predecessor.tls and self.is_http2 == predecessor.is_http2 and (
            self.server_cert_domain_san == predecessor.server_cert_domain_san
        ):
            self.connections = predecessor.connection_pool()
        self.failed_at_ns[0] = predecessor.failed_at_ns[0]
        self.last_failure[0] = predecessor.last_failure[0]
        self.distrusted_at_ns[0] = predecessor.distrusted_at_ns[0]
        return 0

    def __repr__(self):
        return f"<Endpoint {self.address} in_flight={self.in_flight}>"


cdef inline bint is_distrusted(Endpoint endpoint, Settings settings) noexcept:
    """Whether no connection to it is kept."""
    return endpoint.distrusted_at_ns[0] != 0 and monotonic_ns() - endpoint.distrusted_at_ns[0] <= settings.distrust_memory_ns


cdef inline Slice slice_of(Py_ssize_t start, Py_ssize_t length) noexcept nogil:
    cdef Slice text
    text.start = <uint32_t>start
    text.length = <uint32_t>length
    return text
