# Failures are values until the exchange ends: one table says what each kind means (spec 5.4, 5.7).

cdef FailureRow _failure_rows[FAILURE_KINDS]


# By FAILURE_*, for operators.
FAILURES = (
    "dial failed", "router out of descriptors", "no TLS spoken", "certificate of another instance",
    "client certificate refused", "TLS handshake refused", "TLS handshake timed out", "certificate not trusted",
    "connection incomplete", "TLS handshake reset", "connection reset", "connection closed", "connection closed",
    "timed out", "bad response", "too many headers", "stream refused", "stream failed", "no endpoints", "client gone",
)


cdef str name_of_mark(int64_t mark):
    """Why an endpoint was marked as failed; empty without a mark, or if nobody knows."""
    cdef int kind = <int>(mark & (MARK_REASONS - 1))
    return "" if mark == 0 or kind >= FAILURE_KINDS else FAILURES[kind]


cdef void failure_row(
    int kind, int status, const char* body, bint retriable, bint failable, bint prunable, int counter
) noexcept:
    _failure_rows[kind].status = status
    _failure_rows[kind].body = body
    _failure_rows[kind].retriable = retriable
    _failure_rows[kind].failable = failable
    _failure_rows[kind].prunable = prunable
    _failure_rows[kind].counter = counter


cdef const char* BAD_GATEWAY = b"502 Bad Gateway: Registered endpoint failed to handle the request.\n"
cdef const char* HANDSHAKE_FAILED = b"525 SSL Handshake Failed\n"
cdef const char* INVALID_CERTIFICATE = b"526 Invalid SSL Certificate\n"
cdef const char* CERTIFICATE_REQUIRED = b"496 SSL Certificate Required\n"
cdef const char* UNAVAILABLE = b"503 Service Unavailable\n"

#           kind                       status body              retriable failable prunable counter
failure_row(FAILURE_DIAL,                 502, BAD_GATEWAY,          True,  True,  True,  COUNTER_BAD_GATEWAYS)
# The router itself has no descriptor, port or memory for it: no endpoint's fault.
failure_row(FAILURE_STARVED,              502, BAD_GATEWAY,          True,  False, False, COUNTER_BAD_GATEWAYS)
failure_row(FAILURE_NOT_TLS,              525, HANDSHAKE_FAILED,     True,  True,  True,  COUNTER_BACKEND_TLS_HANDSHAKE_FAILED)
failure_row(FAILURE_HOSTNAME_MISMATCH,    503, UNAVAILABLE,          True,  True,  True,  COUNTER_BACKEND_INVALID_ID)
failure_row(FAILURE_REMOTE_CERTIFICATE,   496, CERTIFICATE_REQUIRED, True,  True,  True,  COUNTER_NONE)
failure_row(FAILURE_REMOTE_HANDSHAKE,     525, HANDSHAKE_FAILED,     True,  True,  True,  COUNTER_BACKEND_TLS_HANDSHAKE_FAILED)
failure_row(FAILURE_HANDSHAKE_TIMEOUT,    502, BAD_GATEWAY,          True,  True,  True,  COUNTER_BAD_GATEWAYS)
failure_row(FAILURE_UNTRUSTED,            526, INVALID_CERTIFICATE,  True,  True,  True,  COUNTER_BACKEND_INVALID_TLS_CERT)
# A connection that was never there, or a request that was never sent whole.
failure_row(FAILURE_INCOMPLETE,           502, BAD_GATEWAY,          True,  False, False, COUNTER_BAD_GATEWAYS)
# The same, but the backend has reset the connection within the TLS handshake, and is marked for it.
failure_row(FAILURE_HANDSHAKE_RESET,      502, BAD_GATEWAY,          True,  True,  False, COUNTER_BAD_GATEWAYS)
# ECONNRESET while waiting for the response.
failure_row(FAILURE_RESET,                502, BAD_GATEWAY,          False, True,  False, COUNTER_BAD_GATEWAYS)
# EOF before any byte of the response, and the request is safe to send again.
failure_row(FAILURE_IDEMPOTENT_EOF,       502, BAD_GATEWAY,          True,  False, False, COUNTER_BAD_GATEWAYS)
failure_row(FAILURE_EOF,                  502, BAD_GATEWAY,          False, False, False, COUNTER_BAD_GATEWAYS)
failure_row(FAILURE_TIMEOUT,              502, BAD_GATEWAY,          False, False, False, COUNTER_BAD_GATEWAYS)
# Not HTTP, or a head too large.
failure_row(FAILURE_BAD_RESPONSE,         502, BAD_GATEWAY,          False, False, False, COUNTER_BAD_GATEWAYS)
# A sound response, but for the number of its headers.
failure_row(FAILURE_TOO_MANY_HEADERS,     502, BAD_GATEWAY,          False, False, False, COUNTER_BAD_GATEWAYS)
# A stream of HTTP/2 that the backend has not looked at (RFC 9113 section 8.7).
failure_row(FAILURE_REFUSED,              502, BAD_GATEWAY,          True,  False, False, COUNTER_BAD_GATEWAYS)
# One that it has ended for another reason, or when it cannot be known how far it came.
failure_row(FAILURE_STREAM,               502, BAD_GATEWAY,          False, False, False, COUNTER_BAD_GATEWAYS)
failure_row(FAILURE_NO_ENDPOINTS,         502, BAD_GATEWAY,          False, False, False, COUNTER_BAD_GATEWAYS)
# Nobody is there to read the response: only the log line has it.
failure_row(FAILURE_CLIENT_GONE,          499, b"499 Request Cancelled\n",                  False, False, False, COUNTER_NONE)


cdef class Failure:
    """Why an attempt, or the whole exchange, ended. `text` is what Gorouter would print for it."""

    def __cinit__(self, int kind, str text):
        self.kind = kind
        self.text = text

    cdef FailureRow* row(self) noexcept:
        return &_failure_rows[self.kind]

    def __repr__(self):
        return f"<Failure {self.kind} {self.text!r}>"
