# Refusals: requests that come to no handler, and connections that come to no request. No handler counts and logs them, so that is
# done here.

# Of the request refused last.
cdef Head refused_head = Head()


cdef void count_refusal(DataPlane plane, int refusal) noexcept:
    """Count a refusal, by REFUSAL_*. A connection that ends before its first request, or by an error of HTTP/2, has no line."""
    plane.counters[COUNTERS_REFUSED + refusal] += 1


cdef int note_refusal(AcceptedConnection client, bytes received, int refusal, int status, Py_ssize_t size) except -1:
    """Count a request that is refused, and log it if that is wanted.

    `received` is the beginning of it, `status` that of its response (0: none), `size` the bytes of that response's body.
    """
    cdef AccessLog log = client.plane.access_log
    count_refusal(client.plane, refusal)
    if log is not None and log.logs_refused:
        refused_exchange(client, received).refuse(refusal, status, size)
    return 0


cdef Exchange refused_exchange(AcceptedConnection client, bytes received):
    """A refused request as the log shows it: what the whole lines at its beginning say, which no validator has seen."""
    cdef Exchange exchange = new_exchange(ClientSide(client.identity), client.plane)
    cdef Head head = refused_head
    # The dash behind the lines stands in the log for what they do not say.
    cdef bytes text = received[: received.rfind(b"\n", 0, REFUSED_LOOK_MAX) + 1] + b"\r\n-"
    head.method.length = head.target.length = 0
    head.scan(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text) - 1, client.plane.settings.max_request_headers + 1)
    exchange.request.read_refused(text, head, client.plane)
    if isinstance(client, HTTP2ClientConnection):
        # `received` was translated from HTTP/2.
        exchange.request.set_http2()
    return exchange
