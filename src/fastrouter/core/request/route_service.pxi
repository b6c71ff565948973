# Route services: requests that visit a route's service first, and their way back from it to the app (spec 5.9).
#
# Which requests go there and which may come back is decided in the handlers, from `visit_route_service` on; the visit itself is
# an attempt like any other, at an Endpoint that stands for the service.

cdef class RouteServices:
    """The router's side of all route services. Without a signer the router forwards to none."""

    def __init__(self, signer=None, *, int max_attempts=1, bint recommends_https=False, bint is_strict=False,
                 bint allows_websockets=False, tls=None, int hairpin_port=0, hairpin_tls=None, is_hairpin_host=None,
                 is_blocked=None):
        self.signer = signer
        self.max_attempts = max(1, max_attempts)
        self.recommends_https = recommends_https
        self.is_strict = is_strict
        self.allows_websockets = allows_websockets
        self.tls = tls
        self.hairpin_tls = hairpin_tls
        self.is_hairpin_host = is_hairpin_host
        self.is_blocked = is_blocked
        self.known = {}
        if hairpin_port:
            self.hairpin = new_service_endpoint("127.0.0.1", hairpin_port, True)

    cdef RouteService at(self, str url):
        """The route service at `url`. Raises ValueError if no request can be sent to that URL."""
        cdef RouteService service = self.known.get(url)
        if service is None:
            if len(self.known) >= KNOWN_SERVICES_MAX:
                self.known.clear()
            service = self.known[url] = RouteService(url)
        return service

    cdef object tls_of(self, Endpoint endpoint):
        """The context for a connection to `endpoint`, which is a route service or stands for them."""
        return self.hairpin_tls if endpoint is self.hairpin else self.tls


cdef Endpoint new_service_endpoint(str host, int port, bint tls):
    """Where a route service is dialled. It is no backend: nothing in its requests or log lines names an instance."""
    cdef Endpoint endpoint = Endpoint(host, port, tls=tls)
    endpoint.is_route_service = True
    endpoint.headers = b""
    endpoint.app = endpoint.instance = endpoint.index = slice_of(0, 0)
    return endpoint


cdef class RouteService:
    """The route service of one route. Raises ValueError if no request can be sent to its URL."""

    def __cinit__(self, str url):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the URL of a route service: {url!r}")
        is_tls = parts.scheme == "https"
        self.url = url
        self.endpoint = new_service_endpoint(parts.hostname, parts.port or (443 if is_tls else 80), is_tls)
        self.authority = parts.netloc.rpartition("@")[2].encode("ascii")
        if not has_only(_is_host, PyBytes_AS_STRING(self.authority), PyBytes_GET_SIZE(self.authority)):
            raise ValueError(f"not the host of a route service: {url!r}")
        self.path = quote(parts.path, safe=URL_SAFE).encode("ascii")
        self.target = self.path or b"/"
        if parts.query:
            self.target += b"?" + quote(parts.query, safe=URL_SAFE).encode("ascii")


# What may stand in a target as it is, escapes included.
cdef str URL_SAFE = "/%:@!$&'()*+,;=-._~?"


cdef bint visit_route_service(Exchange exchange, Head head) except -1:
    """Handler 20: send a request to its route's service, unless it has been there. False: it was responded to instead."""
    cdef RouteServices services = exchange.plane.settings.route_services
    if not exchange.round_trip.pool.route_service_url:
        return not (services.is_strict and head.has(HEADER_X_CF_PROXY_SIGNATURE)) or check_stray_signature(exchange)
    if services.signer is None:
        return respond_failed_visit(exchange, 502, b"Support for route services is disabled.")
    if exchange.request.wants_websocket and not services.allows_websockets:
        return respond_failed_visit(
            exchange, 503, b"Websocket requests are not supported for routes bound to Route Services."
        )
    if exchange.request.is_return:
        # Secrets between router and service: the app must not see them (spec 8.10).
        remove_header(exchange, head, HEADER_X_CF_PROXY_SIGNATURE)
        remove_header(exchange, head, HEADER_X_CF_PROXY_METADATA)
        remove_header(exchange, head, HEADER_X_CF_FORWARDED_URL)
        return True
    try:
        set_out(exchange, head, services)
    except Exception as error:
        exchange.log(LOG_ERROR, "route-service-failed", {"error": str(error)})
        respond_error(exchange, 500, b"", b"", b"Route service request failed.")
        return False
    return True


cdef bint respond_failed_visit(Exchange exchange, int status, bytes message) except -1:
    exchange.log(LOG_INFO, "route-service-unsupported", {})
    respond_error(exchange, status, b"route_service_unsupported", b"", message)
    return False


cdef int set_out(Exchange exchange, Head head, RouteServices services) except -1:
    """Give the request what it needs to come back, and the service as its destination."""
    cdef Request request = exchange.request
    cdef const char* base = PyBytes_AS_STRING(request.head)
    cdef bytes host = request.host_text()
    cdef bytes url = b"https://" if services.recommends_https else b"http://"
    cdef bytes signature, metadata
    cdef RouteService service = services.at(exchange.round_trip.pool.route_service_url)
    url += without_port(host) + (base[request.path.start : request.path.start + request.path.length] or b"/")
    signature, metadata = services.signer.sign(url.decode("utf-8", "replace"))
    set_header(exchange, head, HEADER_X_CF_PROXY_SIGNATURE, PyBytes_AS_STRING(signature), PyBytes_GET_SIZE(signature))
    set_header(exchange, head, HEADER_X_CF_PROXY_METADATA, PyBytes_AS_STRING(metadata), PyBytes_GET_SIZE(metadata))
    set_header(exchange, head, HEADER_X_CF_FORWARDED_URL, PyBytes_AS_STRING(url), PyBytes_GET_SIZE(url))
    request.close_backend()
    exchange.round_trip.visit(service, services.hairpin if is_hairpin(exchange, service, services) else service.endpoint)
    return 0


cdef bytes without_port(bytes host):
    """The host of a Host header, an IPv6 address with its brackets."""
    name, colon, port = host.rpartition(b":")
    return name if colon and (not port or port.isdigit()) and (b":" not in name or name.endswith(b"]")) else host


cdef bint is_hairpin(Exchange exchange, RouteService service, RouteServices services) except -1:
    """Whether the service is an app of this router, to be reached without leaving it (spec 5.9.6)."""
    cdef EndpointPool pool
    if services.hairpin is None:
        return False
    pool = exchange.plane.find(
        PyBytes_AS_STRING(service.authority), PyBytes_GET_SIZE(service.authority),
        PyBytes_AS_STRING(service.path), PyBytes_GET_SIZE(service.path),
    )
    return pool is not None and (services.is_hairpin_host is None or services.is_hairpin_host(pool.host))


# --- the way back -----------------------------------------------------------------------------------------------------------

cdef bint read_signature(Exchange exchange, Head head) except -1:
    """Validate the signature a request brings, if anything depends on it: `signed_url` or `signature_error` is set then.

    Returns whether the request passes for one that comes back from a route service (spec 4.2, handler 17).
    """
    cdef RouteServices services = exchange.plane.settings.route_services
    cdef bint is_signed = head.value_of(HEADER_X_CF_PROXY_SIGNATURE).length > 0
    cdef bint names_url = head.value_of(HEADER_X_CF_FORWARDED_URL).length > 0
    cdef bint has_service = bool(exchange.round_trip.pool.route_service_url)
    if not (is_signed and (names_url or has_service)) and not (services.is_strict and not has_service):
        return False
    if services.signer is None:
        exchange.request.set_signature(None, ValueError("route services are disabled"))
        return False
    try:
        exchange.request.set_signature(services.signer.validate(
            head.text_of(HEADER_X_CF_PROXY_SIGNATURE), head.text_of(HEADER_X_CF_PROXY_METADATA)
        ), None)
    except ValueError as error:
        exchange.request.set_signature(None, error)
    return is_signed and names_url and exchange.request.signature_error is None


cdef bint is_own_return(Exchange exchange) except -1:
    """Whether the signature, which is sound, is of the service of this very route."""
    return bool(exchange.round_trip.pool.route_service_url) and route_mismatch(exchange) is None


cdef bint check_return(Exchange exchange) except -1:
    """Whether the signature, read before, is for this route; if not, the request is responded to."""
    cdef object error = exchange.request.signature_error
    if error is None:
        error = route_mismatch(exchange)
    if error is None:
        exchange.request.confirm_return()
        return True
    exchange.log(LOG_ERROR, "signature-validation-failed", {"error": str(error)})
    respond_error(
        exchange, 504 if is_expired(error) else 502, b"", b"",
        b"Failed to validate Route Service Signature: " + str(error).encode("utf-8", "replace"),
    )
    return False


cdef bint check_stray_signature(Exchange exchange) except -1:
    """Check a signature on a route without a service (spec 5.9.5): if it does not hold, somebody poses as a route service."""
    cdef object error = exchange.request.signature_error
    if error is None:
        return True
    if is_expired(error):
        respond_error(
            exchange, 504, b"expired_route_service_signature", b"",
            b"Failed to validate Route Service Signature: " + str(error).encode("utf-8", "replace"),
        )
    else:
        respond_error(
            exchange, 400, b"invalid_route_service_signature", b"", b"invalid route service signature detected"
        )
    return False


cdef bint is_expired(object error) except -1:
    return getattr(error, "is_expired", False)


cdef object route_mismatch(Exchange exchange):
    """Why the signed URL is not one of this request's route, None if it is."""
    cdef str url = exchange.request.signed_url
    cdef EndpointPool own = exchange.round_trip.pool
    cdef EndpointPool pool
    cdef bytes host, path
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return error
    reason = fault_of_url(url, parts.scheme, parts.netloc, parts.path)
    if reason:
        return ValueError(f'parse "{url}": {reason}')
    host = without_port(parts.netloc.rpartition("@")[2].encode("utf-8", "replace"))
    path = parts.path.encode("utf-8", "replace")
    pool = exchange.plane.find(
        PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host), PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path)
    )
    uri = (host + path).decode("utf-8", "replace").removesuffix("/")
    if pool is None:
        return ValueError(f"original request URL {uri} does not exist in the routing table")
    if pool.name != own.name:
        return ValueError(
            f"route service forwarded URL {own.host}{own.context_path} does not match the original request URL {uri}"
        )
    return None


cdef object BAD_ESCAPE = re_compile(rb"%(?![0-9A-Fa-f]{2})")
cdef object BAD_HOST = re_compile(r"[ \\^`{|}]")

cdef str fault_of_url(str url, str scheme, str authority, str path):
    """What keeps Go from reading a signed URL, "" if nothing does."""
    if not url:
        return "empty url"
    if not scheme or not authority:
        return "invalid URI for request"
    found = BAD_HOST.search(authority)
    if found is not None:
        return f'invalid character "{found[0]}" in host name'
    found = BAD_ESCAPE.search(path.encode("utf-8", "replace"))
    if found is not None:
        return f'invalid URL escape "{found.string[found.start() : found.start() + 3].decode("latin-1")}"'
    return ""


# --- the visit --------------------------------------------------------------------------------------------------------------

cdef dict described_url(str url):
    """A URL as log lines of Gorouter tell it: member by member of Go's own form of one, but without the user's password."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    return {
        "Scheme": parts.scheme,
        "Opaque": "",
        "User": parts.username or "",
        "Host": parts.netloc.rpartition("@")[2],
        "Path": path,
        # Go has these members only if the escapes are not the ones that it would make.
        "RawPath": "" if parts.path == quote(path, safe=GO_PATH_SAFE) else parts.path,
        "OmitHost": False,
        "ForceQuery": url.endswith("?"),
        "RawQuery": parts.query,
        "Fragment": unquote(parts.fragment),
        "RawFragment": "",
    }


# What Go leaves as it is in a path.
cdef str GO_PATH_SAFE = "/$&+,:;=@-._~"


cdef int note_service_response(Exchange exchange, int status) except -1:
    """A route service that responds by itself, and does not send the request back, is logged."""
    if not 200 <= status < 300:
        exchange.log(LOG_INFO, "route-service-response", {
            **described_destination(exchange), **described_attempt(exchange, exchange.backend.was_used(), True),
            "status-code": status,
        })
    return 0
