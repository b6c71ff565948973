# Explain: where a request would go, and why, told by the handlers and the selection that decide it.
#
# They run over an exchange of a twin of the data plane: the same table and settings, but counters, logs and a client of its own.
# What they would change besides, the places of endpoints and the turns of a pool, changes only when an attempt begins.

cdef tuple FITNESS = ("fit", "full", "draining", "other_zone", "failed")


@cython.final
cdef class ExplainingSide(ClientSide):
    """Nobody's client: keeps what the router would have answered by itself."""

    cdef int write_rendered(self) except -1:
        self.written.append(take_message())
        return 0

    cdef int write(self, object data) except -1:
        self.written.append(bytes(data))
        return 0

    cdef int resume(self) except -1:
        return 0

    cdef int finish(self, bint is_last) except -1:
        return 0

    cdef int break_off(self, bint needs_reset) except -1:
        return 0

    cdef int abort(self) except -1:
        return 0

    cdef bint serves(self, Exchange exchange) noexcept:
        return False


def explain(DataPlane plane not None, str method not None, str url not None, headers=(), str client_ip="192.0.2.1", caller=()):
    """What `plane` would do with a request of a new client, as the fields of `ipc.inspection.Explanation` by their names.

    A client that asks an mTLS domain for https has shown a certificate that names `caller`. What is checked before any handler
    (spec 4.0) is not. Raises ValueError for what is no request, and no name of a caller.
    """
    cdef Head head = Head()
    cdef bytes raw = head_of_url(method, url, headers)
    cdef ExplainingSide side
    cdef Exchange exchange
    cdef MessageValidator validator
    cdef bint goes_on
    if head.scan(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), plane.settings.max_request_headers + 1) != VERDICT_OK or (
        head.length != PyBytes_GET_SIZE(raw) or head.slice_request_line() != VERDICT_OK or head.major != 1
    ):
        raise ValueError("this is no request")
    validator = MessageValidator(True)
    goes_on = validator.accepts(head.normalized_head(raw, True))
    validator.discard()
    if not goes_on:
        raise ValueError("this is no HTTP")
    identity = ClientIdentity()
    (<ClientIdentity>identity).set_address(client_ip.encode("ascii"), 0)
    side = ExplainingSide(identity)
    side.written = []
    exchange = new_exchange(side, plane.as_twin())
    exchange.on_request(raw, head, FRAMING_NONE)
    if url[:8].lower() == "https://":
        secure_supposed(exchange, caller_named(caller))
    try:
        goes_on = pass_handlers(exchange, head)
    except Exception as error:
        respond_panic(exchange, error)
        goes_on = False
    return explanation_of(exchange, head, side, goes_on)


cdef Caller caller_named(names):
    """The caller of a certificate that says so: `app:`, `space:` and `organization:` with a GUID behind, and SPIFFE ids."""
    cdef dict guids = {}
    cdef list spiffe_ids = []
    for name in names:
        kind, _, guid = name.partition(":")
        if kind == "spiffe":
            spiffe_ids.append(name)
        elif kind in ("app", "space", "organization") and guid:
            guids[kind] = guid
        else:
            raise ValueError(f"{name!r} names no caller")
    return Caller(**guids, spiffe_ids=spiffe_ids) if "app" in guids or spiffe_ids else None


cdef int secure_supposed(Exchange exchange, Caller caller) except -1:
    """Let the client have TLS, and a certificate where its host needs one."""
    cdef ClientIdentity client = exchange.client.identity
    cdef Request request = exchange.request
    client.set_secured(None)
    client.domain = domain_of(exchange.plane, PyBytes_AS_STRING(request.head) + request.host.start, request.host.length)
    if client.domain is not None:
        client.certificate = client.forwarded = b""
        client.caller = caller
    return 0


cdef bytes head_of_url(str method, str url, headers):
    """The head of a request for `url`; a Host among the headers is in place of the URL's."""
    cdef list lines
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
        raise ValueError(f"not a URL of http or https: {url!r}")
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    names = [name.lower() for name, _ in headers]
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in names:
        lines.append("Host: " + parts.netloc.rpartition("@")[2])
    lines += [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line of a request has no line end")
    return "".join([line + "\r\n" for line in [*lines, ""]]).encode("utf-8", "surrogateescape")


cdef dict explanation_of(Exchange exchange, Head head, ExplainingSide side, bint goes_on):
    cdef RoundTrip trip = exchange.round_trip
    cdef EndpointPool route = trip.route
    cdef EndpointPool pool = trip.pool
    cdef Settings settings = exchange.plane.settings
    cdef list chosen = []
    cdef Endpoint sticky = None
    cdef bint forgets_marks = False
    cdef bytes error
    cdef dict told
    cdef RoutePolicy policy = policy_of(route)
    cdef int refusal = POLICY_ADMITS
    visits = trip.service is not None
    if goes_on and not visits:
        if sticks(exchange):
            sticky = pool.find_sticky(exchange.request.sticky)
        chosen = possible_choices(exchange, &forgets_marks)
        if not chosen:
            trip.respond_unserved(exchange)
    if goes_on and policy is not None:
        refusal = refusal_of_all(exchange, route.endpoints if visits else chosen)
        if refusal != POLICY_ADMITS:
            respond_forbidden(exchange, refusal)
    error = exchange.response.router_error
    key = "" if route is None else route_key(route.uri)
    told = {
        "status": exchange.response.status,
        "router_error": "" if error is None else error.decode("utf-8", "replace"),
        "message": body_of(side.written),
        "route": "" if route is None else route.uri,
        "host": key.partition("/")[0],
        "is_wildcard": key.startswith("*."),
        "path": "" if route is None else "/" + key.partition("/")[2],
        "instance": (
            head.text_of(HEADER_X_CF_APP_INSTANCE) or head.text_of(HEADER_X_CF_PROCESS_INSTANCE) or b""
        ).decode("utf-8", "replace"),
        "algorithm": "",
        "is_algorithm_own": False,
        "sticky": "" if exchange.request.sticky is None else exchange.request.sticky.decode("utf-8", "replace"),
        "must_stick": bool(exchange.request.must_stick),
        "is_sticky_there": sticky is not None,
        "route_service": "" if route is None or not route.route_service_url else route.route_service_url,
        "visits_route_service": visits and refusal == POLICY_ADMITS,
        "mutual_tls_domain": "" if exchange.client.identity.domain is None else exchange.client.identity.domain.name,
        "policy_scope": "" if policy is None else policy.scope,
        "policy_sources": [] if policy is None else list(policy.sources[:SHOWN_CANDIDATES_MAX]),
        "refusal": "misdirected" if exchange.response.status == 421 else "" if refusal == POLICY_ADMITS
        else POLICY_VERDICTS[refusal],
        "max_conns": settings.max_conns,
        "prefers_zone": settings.zone if settings.prefers_local else "",
        "forgets_marks": bool(forgets_marks),
        "endpoints": 0 if route is None else PyList_GET_SIZE(route.endpoints),
        "candidates": [],
        "chosen": [endpoint.address for endpoint in chosen[:SHOWN_CANDIDATES_MAX]] if refusal == POLICY_ADMITS else [],
    }
    if route is not None:
        told["algorithm"] = route.algorithm or settings.balancing_algorithm
        told["is_algorithm_own"] = bool(route.algorithm)
        told["candidates"] = [
            candidate_of(exchange, endpoint, chosen, sticky, goes_on and not visits)
            for endpoint in route.endpoints[:SHOWN_CANDIDATES_MAX]
        ]
    return told


cdef RoutePolicy policy_of(EndpointPool route):
    """The policy that an endpoint of a route has first, None without any."""
    cdef Endpoint endpoint
    if route is not None and route.is_guarded:
        for endpoint in route.endpoints:
            if endpoint.policy is not None:
                return endpoint.policy
    return None


cdef int refusal_of_all(Exchange exchange, list endpoints) except -1:
    """POLICY_*: why the caller may reach none of these, POLICY_ADMITS if it may reach any, or if there are none."""
    cdef int verdict = POLICY_ADMITS
    for endpoint in endpoints:
        verdict = verdict_on(exchange.round_trip.route, endpoint, exchange.request.caller)
        if verdict == POLICY_ADMITS:
            break
    return verdict


cdef str body_of(list written):
    """The body of a response of the router's own, cut."""
    return b"".join(written).partition(b"\r\n\r\n")[2][:4 * SHOWN_PATH_MAX].decode("utf-8", "replace").strip()


cdef dict candidate_of(Exchange exchange, Endpoint endpoint, list chosen, Endpoint sticky, bint is_selecting):
    """An endpoint of the route, and why it would be chosen or not."""
    cdef EndpointPool pool = exchange.round_trip.pool
    cdef Settings settings = exchange.plane.settings
    cdef int64_t mark = endpoint.failed_at_ns[0]
    cdef bint is_local = settings.prefers_local
    cdef bint is_least = pool is not None and pool._is_least_connection(settings)
    cdef bint is_hashed = is_selecting and pool is not None and pool.hashes(exchange)
    cdef int how
    if not is_selecting:
        verdict = "not_asked"
    elif endpoint in chosen:
        verdict = "chosen" if len(chosen) == 1 else "by_chance"
    elif pool is not exchange.round_trip.route and endpoint not in pool.endpoints:
        verdict = "other_instance"
    elif sticky is not None and (sticky in chosen or exchange.request.must_stick):
        verdict = "full" if endpoint is sticky else "not_sticky"
    elif exchange.request.must_stick:
        verdict = "not_sticky"
    else:
        how = fitness(pool, endpoint, settings, is_local)
        if (is_least and how == UNFIT_FAILED) or (is_hashed and how in (UNFIT_FAILED, UNFIT_ELSEWHERE)):
            # Least-connection does not look at marks, a hash at neither marks nor zones (spec 5.2.3, 9.1).
            how = FIT
        if how != FIT:
            verdict = FITNESS[how]
        else:
            verdict = "other_hash" if is_hashed else "busier" if is_least else "not_its_turn"
    return {
        "address": endpoint.address,
        "app": endpoint.app_id,
        "instance_id": endpoint.instance_id,
        "index": endpoint.instance_index,
        "zone": endpoint.availability_zone,
        "in_flight": endpoint.in_flight,
        "is_draining": bool(endpoint.is_draining),
        "failed_ago": (monotonic_ns() - mark) / 1e9 if mark and is_marked(endpoint, settings) else None,
        "failure": name_of_mark(mark) if is_marked(endpoint, settings) else "",
        "verdict": verdict,
        "policy": (
            POLICY_VERDICTS[verdict_on(exchange.round_trip.route, endpoint, exchange.request.caller)]
            if exchange.round_trip.route.is_guarded else ""
        ),
    }
