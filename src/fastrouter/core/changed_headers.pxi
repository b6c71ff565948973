# Changed headers: request headers that a handler sets or removes, over what the client sent.
#
# Head keeps saying what the client sent; what became of it is in `Exchange.changed_headers` (by HEADER_*). prepare_request
# writes it, and the access log's extra headers show it. Requests of which nothing is changed have no dictionary.

cdef int set_header(Exchange exchange, Head head, int kind, bytes value) except -1:
    """Send this one header (of a known kind, its value without control characters) in place of the client's.

    Without a value (None) none of this kind is sent. A client that names it in `Connection` has it stripped nevertheless, as in
    Gorouter (spec 4.4).
    """
    head.drop(kind)
    if exchange.changed_headers is None:
        exchange.changed_headers = {}
    exchange.changed_headers[kind] = value
    return 0


cdef Py_ssize_t changed_size(Exchange exchange) except -1:
    """Bytes that `put_changed_headers` writes at most."""
    cdef Py_ssize_t size = 0
    cdef bytes value
    if exchange.changed_headers is not None:
        for value in exchange.changed_headers.values():
            if value is not None:
                size += KNOWN_NAME_MAX + 4 + PyBytes_GET_SIZE(value)
    return size


cdef char* put_changed_headers(char* out, Exchange exchange, Head head) except NULL:
    """Append the lines of what was set, in that order, but for what `Connection` takes away."""
    cdef bytes value
    cdef int kind
    for kind, value in exchange.changed_headers.items():
        if value is None or head.is_dropped(kind):
            continue
        out = put_canonical(out, _known_names[kind].lower, _known_names[kind].length)
        out = put_text(out, b": ")
        out = put_bytes(out, value)
        out = put_text(out, b"\r\n")
    return out
