# Transport errors: what the system and OpenSSL report, in Go's words, and as which failure it counts.

cdef str errno_text(object error):
    """The C library's words for an OSError, as Go prints them (lower case)."""
    cdef object number = getattr(error, "errno", None)
    return os_strerror(number).lower() if number else str(error).lower()


# Errors of a system call when this process or machine has run out of descriptors, memory or ports.
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
# What OpenSSL reports if the first bytes of a peer are no TLS record.
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
        return Failure(FAILURE_NOT_TLS, "tls: first record does not look like a TLS handshake")
    if reason in REMOTE_ALERTS:
        kind, text = REMOTE_ALERTS[reason]
        return Failure(kind, "remote error: tls: " + text)
    return Failure(FAILURE_INCOMPLETE, "tls: " + (reason.lower().replace("_", " ") or str(error)))
