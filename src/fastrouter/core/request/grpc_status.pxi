# gRPC status: how the router reports its own errors to a client that makes a gRPC call over HTTP/2 (docs/grpc.md).
#
# Such a client looks at `grpc-status` and finds nothing in an error of HTTP. So it gets a response of trailers only: 200, and
# what went wrong in fields (gRPC over HTTP2, section Responses).

cdef enum:
    GRPC_UNKNOWN = 2
    GRPC_DEADLINE_EXCEEDED = 4
    GRPC_PERMISSION_DENIED = 7
    GRPC_RESOURCE_EXHAUSTED = 8
    GRPC_UNIMPLEMENTED = 12
    GRPC_INTERNAL = 13
    GRPC_UNAVAILABLE = 14
    GRPC_UNAUTHENTICATED = 16

# By the status that the response has in HTTP. gRPC's own table (HTTP to gRPC Status Code Mapping) is for clients that know no
# more than this status; the router does, so it is more precise about 429, 431, 500 and 504.
cdef dict _grpc_statuses = {
    400: GRPC_INTERNAL,
    401: GRPC_UNAUTHENTICATED,
    403: GRPC_PERMISSION_DENIED,
    404: GRPC_UNIMPLEMENTED,
    429: GRPC_RESOURCE_EXHAUSTED,
    431: GRPC_RESOURCE_EXHAUSTED,
    496: GRPC_UNAVAILABLE,
    500: GRPC_INTERNAL,
    502: GRPC_UNAVAILABLE,
    503: GRPC_UNAVAILABLE,
    504: GRPC_DEADLINE_EXCEEDED,
    525: GRPC_UNAVAILABLE,
    526: GRPC_UNAVAILABLE,
}

# By router error, where that tells more than the status.
cdef dict _grpc_statuses_of_errors = {
    b"Connection Limit Reached": GRPC_RESOURCE_EXHAUSTED,
    # The call may have been carried out: nothing that says `try again`.
    b"unknown_failure": GRPC_INTERNAL,
}

# Bytes of a message that stand for themselves: printable ASCII, but for the sign that begins all others.
cdef str _GRPC_PLAIN = bytes(range(32, 127)).decode().replace("%", "")


cdef bint has_grpc_type(Head head) noexcept:
    """Whether the content type is gRPC's: `application/grpc`, or with a format behind it. gRPC-Web is something else."""
    cdef Field* field
    cdef const char* behind
    cdef int i
    for i in range(head.count):
        field = &head.fields[i]
        if field.name.length == 12 and is_same_text(head.base + field.name.start, b"content-type", 12):
            behind = head.base + field.value.start + 16
            return field.value.length >= 16 and is_same_text(behind - 16, b"application/grpc", 16) and (
                field.value.length == 16 or behind[0] == c"+" or behind[0] == c";"
            )
    return False


cdef int grpc_status(Exchange exchange, int status) except -1:
    """The status of a call that ends with an error of the router's own, whose response has `status` in HTTP."""
    cdef Failure failure = exchange.round_trip.failure
    cdef bytes error = exchange.response.router_error
    if failure is not None and failure.kind == FAILURE_TIMEOUT:
        return GRPC_DEADLINE_EXCEEDED
    return _grpc_statuses_of_errors.get(error, _grpc_statuses.get(status, GRPC_UNKNOWN))


cdef int put_grpc_error(Exchange exchange, int status, bytes body) except -1:
    """The fields that take the place of a status and of `body`."""
    cdef bytes message = body.strip() or b"%d %s" % (status, reason(status))
    put_text(b"Content-Type: application/grpc\r\nGrpc-Status: ")
    put_decimal(grpc_status(exchange, status))
    put_text(b"\r\nGrpc-Message: ")
    put_bytes(quote_from_bytes(message, _GRPC_PLAIN).encode("ascii"))
    put_text(b"\r\n")
    return 0
