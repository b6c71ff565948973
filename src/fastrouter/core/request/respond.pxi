# Respond: responses the router makes itself, and the phrases of status lines.

cdef dict REASONS = {
    100: b"Continue", 101: b"Switching Protocols", 102: b"Processing", 103: b"Early Hints",
    200: b"OK", 201: b"Created", 202: b"Accepted", 203: b"Non-Authoritative Information", 204: b"No Content",
    205: b"Reset Content", 206: b"Partial Content", 207: b"Multi-Status", 208: b"Already Reported", 226: b"IM Used",
    300: b"Multiple Choices", 301: b"Moved Permanently", 302: b"Found", 303: b"See Other", 304: b"Not Modified",
    305: b"Use Proxy", 307: b"Temporary Redirect", 308: b"Permanent Redirect",
    400: b"Bad Request", 401: b"Unauthorized", 402: b"Payment Required", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 406: b"Not Acceptable", 407: b"Proxy Authentication Required", 408: b"Request Timeout",
    409: b"Conflict", 410: b"Gone", 411: b"Length Required", 412: b"Precondition Failed", 413: b"Request Entity Too Large",
    414: b"Request URI Too Long", 415: b"Unsupported Media Type", 416: b"Requested Range Not Satisfiable",
    417: b"Expectation Failed", 418: b"I'm a teapot", 421: b"Misdirected Request", 422: b"Unprocessable Entity",
    423: b"Locked", 424: b"Failed Dependency", 425: b"Too Early", 426: b"Upgrade Required", 428: b"Precondition Required",
    429: b"Too Many Requests", 431: b"Request Header Fields Too Large", 451: b"Unavailable For Legal Reasons",
    500: b"Internal Server Error", 501: b"Not Implemented", 502: b"Bad Gateway", 503: b"Service Unavailable",
    504: b"Gateway Timeout", 505: b"HTTP Version Not Supported", 506: b"Variant Also Negotiates",
    507: b"Insufficient Storage", 508: b"Loop Detected", 510: b"Not Extended", 511: b"Network Authentication Required",
}


cdef bytes reason(int status):
    """Go's standard text for a status code; the backend's own phrase is never passed on (spec 4.0)."""
    cdef bytes text = REASONS.get(status)
    return b"status code %d" % status if text is None else text


cdef dict _rendered_status_lines = {}

cdef int put_status_line(int minor, int status) except -1:
    cdef PyObject* known = PyDict_GetItem(_rendered_status_lines, status)
    cdef bytes line
    if known == NULL:
        line = b"%d %s\r\n" % (status, reason(status))
        _rendered_status_lines[status] = line
    else:
        line = <bytes>known
    put_text(b"HTTP/1.1 " if minor else b"HTTP/1.0 ")
    put_bytes(line)
    return 0


cdef int respond(Exchange exchange, int status, bytes headers, bytes body, bytes kind=b"") except -1:
    """A complete response of the router's own, and the end of the exchange.

    `headers` are whole lines; Date, framing and persistence are added here, and what tells of a text that it is one: its media
    type is `kind`. A call of gRPC gets an error as trailers without a body.
    """
    cdef Response response = exchange.response
    cdef bint is_dated = False
    cdef bint is_grpc = exchange.request.is_grpc and status >= 400
    cdef Py_ssize_t start
    if exchange.request.expects_continue and not exchange.request.is_done:
        # The client was not told to send its body. What comes next may be the body or a request (spec 4.0).
        response.close_after()
    begin_message()
    put_status_line(exchange.request.minor, 200 if is_grpc else status)
    start = message_size()
    if is_grpc:
        put_grpc_error(exchange, status, body)
        body = b""
    put_bytes(headers)
    if kind and not is_grpc:
        put_text(b"Content-Type: ")
        put_bytes(kind)
        put_text(b"; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n")
    rewrite(exchange, start, &is_dated)
    if not is_dated:
        put_bytes(date_line())
    put_text(b"Content-Length: ")
    put_decimal(PyBytes_GET_SIZE(body))
    put_text(b"\r\n")
    put_persistence(exchange.request.minor, response.is_last)
    put_text(b"\r\n")
    if not exchange.request.is_head:
        put_bytes(body)
    # Logs and metrics have the status of HTTP, even where the client gets another. Gorouter counts what its handlers write,
    # though its server does not send the body of a response to HEAD.
    response.note(status, PyBytes_GET_SIZE(body))
    response.start(status)
    exchange.client.write_rendered()
    return exchange.finish()


cdef inline void put_persistence(int minor, bint is_last) noexcept:
    if is_last:
        put_text(b"Connection: close\r\n")
    elif minor == 0:
        put_text(b"Connection: keep-alive\r\n")


cdef int respond_error(Exchange exchange, int status, bytes router_error, bytes headers, bytes message) except -1:
    """Gorouter's error writer (spec 4.3), and the end of the exchange. An empty router error is none."""
    cdef bytes text = b"%d %s: %s" % (status, reason(status), message)
    cdef bytes kind = b"text/plain"
    cdef bytes body = text + b"\n"
    if status != 404:
        exchange.log(LOG_INFO, "status", {"body": text.decode("utf-8", "replace")})
    if router_error:
        headers += b"X-Cf-Routererror: " + router_error + b"\r\n"
        exchange.response.set_router_error(router_error)
    if exchange.plane.settings.render_error is not None and not exchange.request.is_grpc:
        try:
            body = render_error(exchange.plane.settings.render_error, status, headers, message)
            kind = b"text/html"
        except Exception as error:
            exchange.log(LOG_ERROR, "render-error-failed", {"error": str(error)})
            body = text
    return respond(exchange, status, headers, body, kind)


cdef bytes render_error(object render, int status, bytes headers, bytes message):
    """An error page by the operator's template, which may look at the response headers there are so far."""
    cdef dict fields = {}
    for line in headers.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(": ")
        fields.setdefault(name, value)
    return render(status, reason(status).decode("ascii"), message.decode("utf-8", "replace"), fields)


cdef int respond_health(Exchange exchange) except -1:
    """The router's own health, for the load balancer in front of it (spec 4.2, handler 13), and the end of the exchange."""
    cdef bytes headers = b"Cache-Control: private, max-age=0\r\nExpires: 0\r\n"
    if exchange.plane.is_healthy:
        return respond(exchange, 200, headers, b"ok\n")
    return respond(exchange, 503, headers, b"")


cdef int respond_panic(Exchange exchange, object error) except -1:
    """A fault of the router itself costs the request it happened to, and nobody else (spec 4.2, handler 1)."""
    drop_message()
    exchange.response.break_off(None)
    try:
        exchange.log(LOG_ERROR, "panic-check", fault_fields(exchange.request.host_text().decode("latin-1"), error))
    except Exception:
        # A log that fails costs its lines, not the response.
        pass
    try:
        exchange.detach_backend()
        if exchange.response.is_started:
            if not exchange.is_finished:
                exchange.client.break_off(True)
        elif not exchange.is_finished:
            exchange.response.set_router_error(b"unknown_failure")
            respond(exchange, 502, b"X-Cf-Routererror: unknown_failure\r\n", b"")
        exchange.finish()
    except Exception:
        # A second fault, while responding: the connection ends below.
        drop_message()
    return exchange.give_up()


cdef int log_panic(DataPlane plane, object error) except -1:
    """Log a fault of the router itself that no request is concerned with."""
    drop_message()
    return plane.log(LOG_ERROR, "panic-check", fault_fields("", error))


cdef dict fault_fields(str host, object error):
    return {"host": host, "error": repr(error), "stacktrace": "".join(format_exception(error))}


cdef bytes router_error_of(Failure failure):
    # The text may quote what a backend sent: never let it end the header line.
    return bytes([
        byte if 32 <= byte != 127 else 32 for byte in b"endpoint_failure (%s)" % failure.text.encode("utf-8", "replace")
    ])


cdef int respond_failure(Exchange exchange, Failure failure) except -1:
    """The response to a request no attempt could serve (spec 5.7), and the end of the exchange."""
    cdef FailureRow* row = failure.row()
    cdef DataPlane plane = exchange.plane
    cdef bytes router_error = router_error_of(failure)
    plane.counters[row.counter] += 1
    if exchange.request.wants_websocket:
        plane.counters[COUNTER_WEBSOCKET_FAILURES] += 1
    exchange.response.set_router_error(router_error)
    if failure.kind == FAILURE_CLIENT_GONE:
        # The log line has it as if the client were still there.
        exchange.response.note(row.status, strlen(row.body))
        return exchange.finish()
    return respond(exchange, row.status, b"X-Cf-Routererror: " + router_error + b"\r\n", row.body, b"text/plain")
