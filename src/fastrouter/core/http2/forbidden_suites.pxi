# Forbidden suites: what of TLS 1.2 is too weak for HTTP/2 (RFC 9113 section 9.2.2 and appendix A).

# Appendix A lists what is forbidden. What it leaves is what has an ephemeral key exchange and authenticated encryption.
cdef tuple _EPHEMERAL_EXCHANGES = ("ECDHE-", "DHE-")
cdef tuple _AUTHENTICATED_MODES = ("GCM", "CCM", "CHACHA20")


cdef bint has_forbidden_suite(object tls) except -1:
    """Whether HTTP/2 must not be spoken over the TLS that was agreed on, an SSLObject."""
    cdef str suite = tls.cipher()[0]
    if tls.version() != "TLSv1.2":
        # There is no such suite in TLS 1.3, and no HTTP/2 in what came before.
        return tls.version() != "TLSv1.3"
    return not suite.startswith(_EPHEMERAL_EXCHANGES) or not any([mode in suite for mode in _AUTHENTICATED_MODES])


@cython.final
cdef class InadequateHTTP2Connection(HTTP2ClientConnection):
    """A client that has chosen HTTP/2 and a forbidden suite: it is told so, as by Go, and never heard."""

    cdef int on_connection(self) except -1:
        HTTP2ClientConnection.on_connection(self)
        self.on_error(HTTP2_INADEQUATE_SECURITY)
        return self.shut(HTTP2_INADEQUATE_SECURITY)
