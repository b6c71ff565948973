# Guards: what a router with mTLS domains or policies asks of a request before it goes on (spec 9.8).

cdef bint pass_guards(Exchange exchange, Head head) except -1:
    """The handlers of identity, with handler 17 among them. False: it was responded to."""
    cdef MutualTLSDomain domain = exchange.client.identity.domain
    if wanted_domain(exchange) is not domain:
        # Its connection was held to other rules: a client that knows HTTP tries another one.
        respond(exchange, 421, b"", b"")
        return False
    if not check_client_certificate(exchange, head, domain):
        return False
    if domain is not None:
        exchange.request.set_caller(caller_of(exchange, head, domain))
    exchange.round_trip.guard()
    return True


cdef MutualTLSDomain wanted_domain(Exchange exchange):
    """The domain that the request is for; None: it is for none.

    What a wildcard route serves beyond the one label of the domain's wildcard belongs to that domain, too: its apps count on it.
    """
    cdef Request request = exchange.request
    cdef bytes name = exchange.round_trip.route.name
    cdef const char* uri = PyBytes_AS_STRING(name)
    cdef MutualTLSDomain domain
    if not exchange.plane.domains:
        return None
    domain = domain_of(exchange.plane, PyBytes_AS_STRING(request.head) + request.host.start, request.host.length)
    if domain is None and (uri[0] == c"*" or (uri[0] == c"/" and uri[1] == c"*")):
        name = name.removeprefix(b"/").partition(b"/")[0]
        domain = domain_of(exchange.plane, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    return domain


cdef Caller caller_of(Exchange exchange, Head head, MutualTLSDomain domain):
    """Who asks, by the X-Forwarded-Client-Cert that goes on: the client's own certificate, or what a client says that may."""
    cdef ChangedHeader* changed = NULL
    cdef bytes value = None
    cdef int i
    if exchange.request.changed is not None:
        changed = exchange.request.changed.of(HEADER_X_FORWARDED_CLIENT_CERT)
    if changed != NULL:
        return exchange.client.identity.caller if changed.is_sent else None
    for i in range(head.count):
        if head.fields[i].kind == HEADER_X_FORWARDED_CLIENT_CERT:
            if value is not None:
                # Nobody knows which of two is meant.
                return None
            value = head.base[head.fields[i].value.start : head.fields[i].value.start + head.fields[i].value.length]
    return None if value is None else domain.caller_of_header(value)


cdef bint may_visit(Exchange exchange) except -1:
    """Whether the caller may reach any endpoint of the route, and so its route service."""
    cdef EndpointPool route = exchange.round_trip.route
    for endpoint in route.endpoints:
        if verdict_on(route, endpoint, exchange.request.caller) == POLICY_ADMITS:
            return True
    return False


cdef int respond_forbidden(Exchange exchange, int verdict) except -1:
    """403: a policy admits the caller not, or nobody knows who it is (spec 9.8); the end of the exchange."""
    if verdict == POLICY_NO_CALLER:
        return respond(exchange, 403, b"", b"")
    return respond(exchange, 403, b"Content-Type: text/plain; charset=utf-8\r\n", b"Forbidden")
