# Failures are values until the exchange ends: one table says what each kind means (spec 5.4, 5.7).

cdef struct FailureRow:
    int status              # answered to the client when no attempt is left
    bint retriable          # another attempt may follow (spec 5.4)
    bint failable           # the endpoint is marked and passed over for a while

cdef FailureRow _failure_rows[FAILURE_KINDS]


cdef void failure_row(int kind, int status, bint retriable, bint failable) noexcept:
    _failure_rows[kind].status = status
    _failure_rows[kind].retriable = retriable
    _failure_rows[kind].failable = failable


#           kind                      status retriable failable
failure_row(FAILURE_DIAL,                502, True,  True)    # nothing was sent: refused, timed out, no such host
failure_row(FAILURE_RESET,               502, False, True)    # ECONNRESET while waiting for the response
failure_row(FAILURE_IDEMPOTENT_EOF,      502, True,  False)   # EOF before any byte, request safe to send again
failure_row(FAILURE_EOF,                 502, False, False)
failure_row(FAILURE_TIMEOUT,             502, False, False)
failure_row(FAILURE_BAD_RESPONSE,        502, False, False)   # not HTTP, head too large, too many headers
failure_row(FAILURE_BAD_UPGRADE,         502, False, False)   # 101 to another protocol than the one asked for
failure_row(FAILURE_NO_ENDPOINTS,        502, False, False)
failure_row(FAILURE_CLIENT_GONE,         499, False, False)


cdef class Failure:
    """Why an attempt, or the whole exchange, ended. `text` is what Gorouter would print for it."""

    def __cinit__(self, int kind, str text):
        self.kind = kind
        self.text = text

    cdef int status(self) noexcept:
        return _failure_rows[self.kind].status

    cdef bint is_retriable(self) noexcept:
        return _failure_rows[self.kind].retriable

    cdef bint is_failable(self) noexcept:
        return _failure_rows[self.kind].failable

    def __repr__(self):
        return f"<Failure {self.kind} {self.text!r}>"


cdef str errno_text(object error):
    """The C library's words for an OSError, as Go prints them (lower case)."""
    cdef object number = getattr(error, "errno", None)
    return os_strerror(number).lower() if number else str(error).lower()
