# Handlers: Gorouter's, over one Exchange, called in Gorouter's order from one place (spec 4.1).
#
# A handler returns True to let the request go on, False when it has responded to it.

cdef int serve(Exchange exchange, Head head) except -1:
    """Take a validated request through the handlers and into its first attempt."""
    try:                                                        #  1 panic check
        if pass_handlers(exchange, head):
            if exchange.plane.logs_debug:
                exchange.round_trip.pool.log_algorithm(exchange)
            exchange.round_trip.begin(exchange)                 #    round plane: the first attempt
    except Exception as error:
        respond_panic(exchange, error)
    return 0


cdef bint pass_handlers(Exchange exchange, Head head) except -1:
    """Take it through the handlers. False: it was responded to."""
    if exchange.plane.settings.traces_zipkin:
        trace_zipkin(exchange, head)                            #  4 Zipkin B3
    if exchange.plane.settings.traces_w3c:
        trace_w3c(exchange, head)                               #  5 W3C trace context
    set_request_id(&exchange.request.trace)                     #  6 X-Vcap-Request-Id
    if exchange.plane.logs_debug:
        exchange.log(LOG_DEBUG, "vcap-request-id-header-set", {"VcapRequestIdHeader": exchange.request_id_text()})
    warn_of_semicolon(exchange, head)                           # 10 query parameters
    if not check_health(exchange):                              # 13 health check by User-Agent
        return False
    if not check_protocol(exchange):                            # 14 protocol check
        return False
    # Before the lookup, other than in Gorouter: what is too large is not looked at any closer.
    if not check_request_size(exchange, head):                  # 16 max request size
        return False
    if not look_up(exchange, head):                             # 15 lookup
        return False
    if exchange.plane.table.is_guarded:                         #    mTLS domains and policies (spec 9.8), with
        if not pass_guards(exchange, head):
            return False
    elif not check_client_certificate(exchange, head, None):    # 17 X-Forwarded-Client-Cert
        return False
    drop_hop_by_hop(exchange, head)                             # 18 hop-by-hop headers never leave (spec 4.4)
    set_forwarded_proto(exchange, head)                         # 19 X-Forwarded-Proto
    if not visit_route_service(exchange, head):                 # 20 route service
        return False
    prepare_request(exchange, head)                             # 22 reverse proxy
    read_sticky(exchange, head)                                 #    round plane: who should serve
    if exchange.round_trip.pool.hashing is not None and exchange.round_trip.service is None:
        read_hash_key(exchange, head)
    return True


cdef int warn_of_semicolon(Exchange exchange, Head head) except -1:
    """Go no longer divides parameters there, so Gorouter warns of it, in the access log as a router error."""
    if memchr(head.base + head.target.start, c";", head.target.length) != NULL:
        exchange.request.note_semicolon()
        exchange.log(LOG_WARN, "deprecated-semicolon-params", {"vcap_request_id": exchange.request_id_text()})
    return 0


cdef bint asks_for_health(Exchange exchange) noexcept:
    cdef bytes asks = exchange.plane.settings.healthcheck_user_agent
    cdef Slice agent = exchange.request.user_agent
    return agent.length == PyBytes_GET_SIZE(asks) and memcmp(
        PyBytes_AS_STRING(exchange.request.head) + agent.start, PyBytes_AS_STRING(asks), agent.length
    ) == 0


cdef bint check_health(Exchange exchange) except -1:
    if asks_for_health(exchange):
        respond_health(exchange)
        return False
    return True


cdef bint check_protocol(Exchange exchange) except -1:
    """HTTP/1.2 and later get a status line without headers, and have no status in the access log (spec 4.2)."""
    if exchange.request.minor <= 1:
        return True
    exchange.response.start(0)
    exchange.response.close_after()
    exchange.client.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    exchange.finish()
    return False


cdef bint check_request_size(Exchange exchange, Head head) except -1:
    """431 for a head over the limits; an endpoint is chosen only so that the log line names the app (spec 4.2)."""
    cdef Settings settings = exchange.plane.settings
    # What Go counts: method, target and "HTTP/1.1" with four bytes between, Host with its name, every other field.
    cdef Py_ssize_t size = head.method.length + head.target.length + 8 + 4 + exchange.request.host.length + 8
    cdef Field* field
    cdef ChangedHeaders changed = exchange.request.changed
    cdef int i
    # The request id, which handler 6 has set whatever the client sent.
    cdef int count = 1
    size += _known_names[HEADER_X_VCAP_REQUEST_ID].length + 36 + 4
    for i in range(head.count):
        field = &head.fields[i]
        # Go keeps the host apart from the other headers, so it does not count.
        if field.kind != HEADER_HOST and field.kind != HEADER_X_VCAP_REQUEST_ID and not field.is_dropped:
            size += field.name.length + field.value.length + 4
            count += 1
    if changed is not None:
        for i in range(CHANGED_KINDS):
            if changed.headers[i].is_sent:
                size += _known_names[FIRST_CHANGED + i].length + changed.headers[i].value.length + 4
                count += 1
    if size < settings.max_request_head and not head.is_crowded and count <= settings.max_request_headers:
        return True
    find_route(exchange)
    if exchange.round_trip.pool is not None:
        if exchange.round_trip.pool.hashing is not None:
            read_hash_key(exchange, head)
        if exchange.plane.logs_debug:
            exchange.round_trip.pool.log_algorithm(exchange)
        exchange.round_trip.name_endpoint(exchange.round_trip.pool.select(exchange))
    exchange.response.set_router_error(b"max-request-size-exceeded")
    respond(exchange, 431, b"X-Cf-Routererror: max-request-size-exceeded\r\n", b"")
    return False


cdef bint check_client_certificate(Exchange exchange, Head head, MutualTLSDomain domain) except -1:
    """Decide which X-Forwarded-Client-Cert is sent, and validate the signature of a route service (spec 4.2, handler 17).

    Within a domain its rules hold, and only the service of its own route may bring one back.
    """
    cdef ClientIdentity client = exchange.client.identity
    cdef str mode = exchange.plane.settings.forwarded_client_cert if domain is None else domain.forwarded_client_cert
    cdef bint is_signed = head.value_of(HEADER_X_CF_PROXY_SIGNATURE).length > 0
    cdef bint keeps = False
    cdef bytes certificate
    if head.has(HEADER_X_CF_PROXY_SIGNATURE):
        exchange.request.trust_return(read_signature(exchange, head))
        keeps = exchange.request.is_trusted_return and client.is_tls and (domain is None or is_own_return(exchange))
    if not keeps:
        if client.certificate is not None:
            if mode == "sanitize_set":
                certificate = b2a_base64(client.certificate, newline=False) if domain is None else client.forwarded
                set_header(
                    exchange, head, HEADER_X_FORWARDED_CLIENT_CERT,
                    PyBytes_AS_STRING(certificate), PyBytes_GET_SIZE(certificate),
                )
        elif head.has(HEADER_X_FORWARDED_CLIENT_CERT) and mode != "always_forward":
            remove_header(exchange, head, HEADER_X_FORWARDED_CLIENT_CERT)
    if is_signed and exchange.round_trip.pool.route_service_url and exchange.plane.settings.route_services.signer is not None:
        if not check_return(exchange):
            return False
        if mode == "forward":
            remove_header(exchange, head, HEADER_X_FORWARDED_CLIENT_CERT)
    return True


cdef int drop_hop_by_hop(Exchange exchange, Head head) except -1:
    """Mark what must not go on; `Connection` cannot name the headers an operator protects."""
    cdef Settings settings = exchange.plane.settings
    if settings.hop_by_hop_filter:
        head.kept_names = settings.hop_by_hop_filter
        if exchange.request.wants_upgrade and b"upgrade" in settings.hop_by_hop_filter:
            exchange.request.forget_upgrade()
    return head.drop_hop_by_hop()


cdef int set_forwarded_proto(Exchange exchange, Head head) except -1:
    cdef Settings settings = exchange.plane.settings
    if exchange.request.is_trusted_return:
        # What the route service saw first holds on both ways (spec 8.3).
        return 0
    exchange.request.set_forwarded_proto(
        settings.forces_proto_https or exchange.client.identity.is_tls,
        settings.forces_proto_https or settings.sanitizes_proto or head.value_of(HEADER_X_FORWARDED_PROTO).length == 0,
    )
    if exchange.request.is_proto_set:
        head.drop(HEADER_X_FORWARDED_PROTO)
    return 0
