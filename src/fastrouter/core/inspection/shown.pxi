# Shown: what an operator sees of a request, under way or over: no query, no header but Host, nothing at length.

cdef str shown_text(bytes head, Slice text):
    """A part of a head, cut, as text."""
    cdef Py_ssize_t length = min(<Py_ssize_t>text.length, SHOWN_PATH_MAX)
    return PyBytes_AS_STRING(head)[text.start : text.start + length].decode("utf-8", "replace")


cdef str shown_path(Request request):
    """The path without its query, where secrets may be."""
    return shown_text(request.head, request.path).partition("?")[0] or "/"


cdef str shown_route(RoundTrip trip):
    return "" if trip.route is None else trip.route.uri


cdef str shown_endpoint(RoundTrip trip):
    return "" if trip.endpoint is None else trip.endpoint.address


cdef str shown_client(Exchange exchange):
    """Address and port of the client, unless the access log must not have them either."""
    if exchange.plane.access_log is not None and exchange.plane.access_log.hides_source:
        return ""
    return exchange.client.identity.address.decode("ascii")


cdef str shown_protocol(Request request):
    return "HTTP/2.0" if request.is_http2 else f"HTTP/1.{request.minor}"
