# Failures are values until the exchange ends: one table says what each kind means (spec 5.4, 5.7).

cdef FailureRow _failure_rows[FAILURE_KINDS]


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
# The router itself has no descriptor, port or memory for it: nobody else's fault.
failure_row(FAILURE_STARVED,              502, BAD_GATEWAY,          True,  False, False, COUNTER_BAD_GATEWAYS)
failure_row(FAILURE_PLAIN_ANSWER,         525, HANDSHAKE_FAILED,     True,  True,  True,  COUNTER_BACKEND_TLS_HANDSHAKE_FAILED)
failure_row(FAILURE_HOSTNAME_MISMATCH,    503, UNAVAILABLE,          True,  True,  True,  COUNTER_BACKEND_INVALID_ID)
failure_row(FAILURE_REMOTE_CERTIFICATE,   496, CERTIFICATE_REQUIRED, True,  True,  True,  COUNTER_NONE)
failure_row(FAILURE_REMOTE_HANDSHAKE,     525, HANDSHAKE_FAILED,     True,  True,  True,  COUNTER_BACKEND_TLS_HANDSHAKE_FAILED)
failure_row(FAILURE_HANDSHAKE_TIMEOUT,    502, BAD_GATEWAY,          True,  True,  True,  COUNTER_BAD_GATEWAYS)
failure_row(FAILURE_UNTRUSTED,            526, INVALID_CERTIFICATE,  True,  True,  True,  COUNTER_BACKEND_INVALID_TLS_CERT)
# A connection that was never there, or a request that was never sent whole.
failure_row(FAILURE_INCOMPLETE,           502, BAD_GATEWAY,          True,  False, False, COUNTER_BAD_GATEWAYS)
# The same, where the backend broke a TLS handshake with a reset: that speaks against it.
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
failure_row(FAILURE_NO_ENDPOINTS,         502, BAD_GATEWAY,          False, False, False, COUNTER_BAD_GATEWAYS)
# Nobody is there to read the answer: only the log line has it.
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


cdef str errno_text(object error):
    """The C library's words for an OSError, as Go prints them (lower case)."""
    cdef object number = getattr(error, "errno", None)
    return os_strerror(number).lower() if number else str(error).lower()


# What a system call says when this process or machine has used up its own.
cdef frozenset STARVED = frozenset((EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL))


# --- TLS: what OpenSSL reports, in Go's words ---------------------------------------------------------------------------

# OpenSSL's reason for an alert of the backend: (kind, Go's name of the alert)
cdef dict REMOTE_ALERTS = {
    "SSLV3_ALERT_BAD_CERTIFICATE": (FAILURE_REMOTE_CERTIFICATE, "bad certificate"),
    "TLSV1_ALERT_UNKNOWN_CA": (FAILURE_REMOTE_CERTIFICATE, "unknown certificate authority"),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (FAILURE_REMOTE_CERTIFICATE, "certificate required"),
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (FAILURE_REMOTE_HANDSHAKE, "handshake failure"),
    "TLSV1_ALERT_PROTOCOL_VERSION": (FAILURE_INCOMPLETE, "protocol version not supported"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (FAILURE_INCOMPLETE, "expired certificate"),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": (FAILURE_INCOMPLETE, "unknown certificate"),
    "TLSV1_ALERT_INTERNAL_ERROR": (FAILURE_INCOMPLETE, "internal error"),
    "TLSV1_ALERT_DECODE_ERROR": (FAILURE_INCOMPLETE, "error decoding message"),
    "TLSV1_UNRECOGNIZED_NAME": (FAILURE_INCOMPLETE, "unrecognized name"),
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": (FAILURE_INCOMPLETE, "unsupported certificate"),
    "SSLV3_ALERT_CERTIFICATE_REVOKED": (FAILURE_INCOMPLETE, "revoked certificate"),
    "SSLV3_ALERT_ILLEGAL_PARAMETER": (FAILURE_INCOMPLETE, "illegal parameter"),
    "TLSV1_ALERT_ACCESS_DENIED": (FAILURE_INCOMPLETE, "access denied"),
    "TLSV1_ALERT_DECRYPT_ERROR": (FAILURE_INCOMPLETE, "error decrypting message"),
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": (FAILURE_INCOMPLETE, "insufficient security level"),
    "TLSV1_ALERT_INAPPROPRIATE_FALLBACK": (FAILURE_INCOMPLETE, "inappropriate fallback"),
    "TLSV1_ALERT_USER_CANCELLED": (FAILURE_INCOMPLETE, "user canceled"),
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": (FAILURE_INCOMPLETE, "no application protocol"),
}
# What OpenSSL makes of a first record that is none.
cdef frozenset NOT_TLS = frozenset(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"))

# X509_V_ERR_*: of OpenSSL's verification errors these are about names, the rest about trust.
cdef frozenset NAME_ERRORS = frozenset((62, 63, 64))


cdef Failure tls_failure(object error):
    """Classify what the TLS layer raised while talking to a backend."""
    cdef str reason = getattr(error, "reason", None) or ""
    cdef object code = getattr(error, "verify_code", None)
    if code:
        return Failure(
            FAILURE_HOSTNAME_MISMATCH if code in NAME_ERRORS else FAILURE_UNTRUSTED,
            f"tls: failed to verify certificate: x509: {error.verify_message}",
        )
    if not reason and "alert no application protocol" in str(error):
        # Python's table of reasons ends before this one.
        reason = "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"
    if reason in NOT_TLS:
        return Failure(FAILURE_PLAIN_ANSWER, "tls: first record does not look like a TLS handshake")
    if reason in REMOTE_ALERTS:
        kind, text = REMOTE_ALERTS[reason]
        return Failure(kind, "remote error: tls: " + text)
    return Failure(FAILURE_INCOMPLETE, "tls: " + (reason.lower().replace("_", " ") or str(error)))
