# Settings: bounds, deadlines and policies of one data plane.

cdef class Settings:
    def __init__(
        self,
        *,
        int max_attempts=3,
        double dial_timeout=5.0,
        double tls_handshake_timeout=10.0,
        double endpoint_timeout=900.0,
        double http2_endpoint_timeout=0.0,
        double frontend_idle_timeout=900.0,
        double read_header_timeout=0.0,
        double proxy_header_timeout=0.1,
        double backend_idle_timeout=90.0,
        double closing_timeout=900.0,
        double route_patience=0.0,
        double large_head_patience=1.0,
        double half_close_timeout=2.0,
        double tunnel_silence_timeout=0.5,
        double keep_alive_probe_interval=1.0,
        double http2_ping_interval=30.0,
        double http2_ping_timeout=15.0,
        bint backend_keep_alive=True,
        int max_idle_per_endpoint=100,
        bint learns_idle_limits=True,
        int max_request_head=1048576,
        int max_large_heads=4194304,
        int max_request_headers=1000,
        int max_response_head=1048576,
        int max_response_headers=1000,
        int max_buffered=65536,
        bint empty_pool_503=False,
        int64_t max_conns=0,
        str balancing_algorithm="round-robin",
        str az_preference="none",
        str zone="",
        double failure_memory=30.0,
        double distrust_memory=600.0,
        double bodiless_rest=0.02,
        sticky_cookie_names=("JSESSIONID",),
        bint sticky_for_negotiate=False,
        bint secure_cookies=False,
        bint keeps_sticky_metadata=False,
        bint takes_empty_length=False,
        bint takes_h2c=False,
        bint observes_requests=True,
        bint observes_apps=False,
        bint observes_routes=False,
        bint traces_zipkin=False,
        bint traces_w3c=False,
        str w3c_tenant_id="",
        bint propagates_only=False,
        backend_tls=None,
        backend_http2_tls=None,
        str healthcheck_user_agent="HTTP-Monitor/1.1",
        str trace_key="",
        str local_ip="127.0.0.1",
        bint refuses_client_ip=True,
        str forwarded_client_cert="always_forward",
        bint forces_proto_https=False,
        bint sanitizes_proto=False,
        hop_by_hop_filter=(),
        removed_headers=(),
        added_headers=(),
        render_error=None,
        resolve=None,
        RouteServices route_services=None,
    ):
        self.max_attempts = _at_least("max_attempts", max_attempts, 1)
        self.dial_timeout = _at_least("dial_timeout", dial_timeout, 0)
        self.tls_handshake_timeout = _at_least("tls_handshake_timeout", tls_handshake_timeout, 0)
        self.endpoint_timeout = _at_least("endpoint_timeout", endpoint_timeout, 0)
        self.http2_endpoint_timeout = _at_least("http2_endpoint_timeout", http2_endpoint_timeout, 0)
        self.frontend_idle_timeout = _at_least("frontend_idle_timeout", frontend_idle_timeout, 0)
        self.read_header_timeout = _at_least("read_header_timeout", read_header_timeout, 0)
        self.proxy_header_timeout = _at_least("proxy_header_timeout", proxy_header_timeout, 0.001)
        self.backend_idle_timeout = _at_least("backend_idle_timeout", backend_idle_timeout, 0)
        self.route_patience = _at_least("route_patience", route_patience, 0)
        self.large_head_patience = _at_least("large_head_patience", large_head_patience, 0)
        self.half_close_timeout = _at_least("half_close_timeout", half_close_timeout, 0.001)
        self.tunnel_silence_timeout = _at_least("tunnel_silence_timeout", tunnel_silence_timeout, 0.001)
        self.closing_timeout = frontend_idle_timeout or _at_least("closing_timeout", closing_timeout, 0.001)
        self.keep_alive_probe_interval = keep_alive_probe_interval
        self.http2_ping_interval = _at_least("http2_ping_interval", http2_ping_interval, 0)
        self.http2_ping_timeout = _at_least("http2_ping_timeout", http2_ping_timeout, 0)
        self.backend_keep_alive = backend_keep_alive
        self.max_idle_per_endpoint = _at_least("max_idle_per_endpoint", max_idle_per_endpoint, 0)
        self.learns_idle_limits = learns_idle_limits
        self.max_request_head = _at_least("max_request_head", max_request_head, 1)
        self.max_received_head = max(max_request_head, <Py_ssize_t>SERVER_HEAD_MAX) + HEAD_SLOP
        self.max_large_heads = _at_least("max_large_heads", max_large_heads, 0)
        self.max_request_headers = _at_least("max_request_headers", max_request_headers, 1)
        self.max_response_head = _at_least("max_response_head", max_response_head, 1)
        self.max_response_headers = _at_least("max_response_headers", max_response_headers, 1)
        self.max_buffered = _at_least("max_buffered", max_buffered, 4096)
        self.empty_pool_503 = empty_pool_503
        self.max_conns = _at_least("max_conns", max_conns, 0)
        self.balancing_algorithm = _one_of("balancing_algorithm", balancing_algorithm, ALGORITHMS)
        self.az_preference = _one_of("az_preference", az_preference, ("none", "locally-optimistic"))
        self.prefers_local = az_preference == "locally-optimistic"
        self.zone = zone
        self.failure_memory = _at_least("failure_memory", failure_memory, 0)
        self.failure_memory_ns = <int64_t>(failure_memory * 1e9)
        self.distrust_memory = _at_least("distrust_memory", distrust_memory, 0)
        self.distrust_memory_ns = <int64_t>(distrust_memory * 1e9)
        self.bodiless_rest = _at_least("bodiless_rest", bodiless_rest, 0)
        self.bodiless_rest_ns = <int64_t>(bodiless_rest * 1e9)
        self.sticky_cookie_names = tuple([name.encode("latin-1", "replace") for name in sticky_cookie_names])
        self.sticky_for_negotiate = sticky_for_negotiate
        self.secure_cookies = secure_cookies
        self.keeps_sticky_metadata = keeps_sticky_metadata
        self.takes_empty_length = takes_empty_length
        self.takes_h2c = takes_h2c
        self.observes_requests = observes_requests
        self.observes_apps = observes_apps
        self.observes_routes = observes_routes
        self.traces_zipkin = traces_zipkin
        self.traces_w3c = traces_w3c
        self.propagates_only = propagates_only
        self.w3c_tenant_id = _header_text("w3c_tenant_id", w3c_tenant_id)
        self.tracestate_key = f"{w3c_tenant_id}@gorouter".encode() if w3c_tenant_id else b"gorouter"
        self.backend_tls = backend_tls
        self.backend_http2_tls = backend_http2_tls
        self.healthcheck_user_agent = healthcheck_user_agent.encode("utf-8")
        self.trace_key = trace_key.encode("utf-8")
        self.local_ip = local_ip.encode("ascii")
        self.refuses_client_ip = refuses_client_ip
        self.forwarded_client_cert = _one_of(
            "forwarded_client_cert", forwarded_client_cert, FORWARDED_CLIENT_CERT_MODES
        )
        self.forces_proto_https = forces_proto_https
        self.sanitizes_proto = sanitizes_proto
        self.hop_by_hop_filter = frozenset([name.lower().encode("latin-1", "replace") for name in hop_by_hop_filter])
        self.rewriting = Rewriting(removed_headers, added_headers) if removed_headers or added_headers else None
        self.render_error = render_error
        self.resolve = resolve
        self.route_services = RouteServices() if route_services is None else route_services


cdef tuple ALGORITHMS = ("round-robin", "least-connection")
cdef tuple FORWARDED_CLIENT_CERT_MODES = ("always_forward", "forward", "sanitize_set")


def _at_least(str name, value, minimum):
    if not value >= minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value}")
    return value


def _header_text(str name, str value):
    cdef bytes text = value.encode("utf-8")
    if not has_only(_is_value, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)):
        raise ValueError(f"{name} must not have control characters, as {value!r} has")
    return value


def _one_of(str name, str value, tuple allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value
