# MutualTLSDomain: a domain whose clients show a certificate of its own CAs, and what its apps are told of it (spec 9.8).

cdef class MutualTLSDomain:
    def __init__(self, str name not None, *, identify not None, identify_header not None, render not None,
                 str forwarded_client_cert="sanitize_set"):
        self.name = name
        self.forwarded_client_cert = _one_of("forwarded_client_cert", forwarded_client_cert, FORWARDED_CLIENT_CERT_MODES)
        self.identify = identify
        self.identify_header = identify_header
        self.render = render

    def secure(self, context not None, is_allowed=None):
        """Have clients that ask for it from now on shake hands by these rules (as of ListenerProtocol.secure)."""
        self.context = context
        self.is_allowed = is_allowed

    cdef Caller caller_of(self, bytes certificate):
        """Whom a certificate (DER) names; None: nobody."""
        found = self.identify(certificate)
        return None if found is None else Caller(*found)

    cdef Caller caller_of_header(self, bytes value):
        """Whom an X-Forwarded-Client-Cert names; None: nobody."""
        found = self.identify_header(value)
        return None if found is None else Caller(*found)


cdef MutualTLSDomain domain_of(DataPlane plane, const char* host, Py_ssize_t length):
    """The domain of a host, which may have a port behind it, by the rules of the lookup of routes; None: it is of none.

    A name counts before a wildcard, which stands for exactly one label.
    """
    cdef const char* cut = <const char*>memchr(host, c":", length)
    # One byte in front: a wildcard is written over the label it replaces, which may be empty. HOST_MAX is 255.
    cdef char[256] room
    cdef char* name = &room[1]
    cdef char* dot
    cdef PyObject* found
    cdef Py_ssize_t i
    if cut != NULL:
        length = cut - host
    if length > HOST_MAX:
        return None
    for i in range(length):
        name[i] = <char>_lower[<unsigned char>host[i]]
    found = PyDict_GetItem(plane.domains, PyBytes_FromStringAndSize(name, length))
    if found == NULL:
        dot = <char*>memchr(name, c".", length)
        if dot == NULL:
            return None
        dot -= 1
        dot[0] = c"*"
        found = PyDict_GetItem(plane.domains, PyBytes_FromStringAndSize(dot, name + length - dot))
    return None if found == NULL else <MutualTLSDomain>found
