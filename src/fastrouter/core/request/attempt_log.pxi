# Attempt log: what lines of the process log say of an attempt and its endpoint (spec 5.1).

cdef dict described_destination(Exchange exchange):
    """The destination of an attempt, as log lines have it (spec 5.1, 5.9.7)."""
    cdef RoundTrip trip = exchange.round_trip
    cdef Endpoint endpoint = trip.endpoint
    if endpoint.is_route_service:
        return {"route-service-endpoint": trip.service.url}
    return {"route-endpoint": described_endpoint(endpoint, trip.pool)}


cdef dict described_endpoint(Endpoint endpoint, EndpointPool pool):
    """What log lines tell of an endpoint."""
    return {
        "ApplicationId": endpoint.app_id,
        "Addr": endpoint.address,
        "Tags": {
            name: value
            for name, value in (("component", endpoint.component), ("process_id", endpoint.process_id))
            if value
        } or None,
        "RouteServiceUrl": pool.route_service_url or "",
        "AZ": endpoint.availability_zone,
    }


cdef dict described_attempt(Exchange exchange, bint was_reused, bint was_head_sent):
    """How far an attempt has come, as log lines tell it (spec 5.1). A connection that is there is written to at once."""
    cdef RoundTrip trip = exchange.round_trip
    cdef int64_t handshake_started_ns = trip.dialled_ns if trip.endpoint.tls else 0
    return {
        "attempt": trip.attempt,
        "vcap_request_id": exchange.request_id_text(),
        "num-endpoints": len(trip.pool.endpoints),
        "got-connection": was_head_sent,
        "wrote-headers": was_head_sent,
        "conn-reused": was_reused,
        "dns-lookup-time": 0.0,
        "dial-time": span_seconds(trip.dial_started_ns, trip.dialled_ns or trip.dial_failed_ns),
        "tls-handshake-time": span_seconds(handshake_started_ns, trip.secured_ns or trip.dial_failed_ns),
        "local-address": trip.local_address or "",
    }


cdef bint is_body_cut(Exchange exchange) noexcept:
    """Whether the client has left in the middle of a body that was on its way to the backend."""
    return exchange.round_trip.was_head_sent and exchange.request.is_body_wanted and not exchange.request.is_done


cdef str cause_of_cancelling(Exchange exchange):
    """The error that Go's transport reports when the client leaves: that of a body that breaks off, or of a request cancelled."""
    cdef RoundTrip trip = exchange.round_trip
    cdef Endpoint endpoint = trip.endpoint
    if not is_body_cut(exchange):
        return "context canceled"
    if exchange.request.framing == FRAMING_CHUNKED or endpoint.tls:
        return "unexpected EOF"
    return f"readfrom tcp {trip.local_address}->{endpoint.address}: unexpected EOF"


cdef double span_seconds(int64_t begin_ns, int64_t end_ns) noexcept:
    """Seconds between two points in time: 0 where it never began, -1 where it never ended."""
    if begin_ns == 0:
        return 0.0
    return (end_ns - begin_ns) / 1e9 if end_ns else -1.0
