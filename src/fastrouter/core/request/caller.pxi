# Caller: who a client is, as its certificate tells: an app of Cloud Foundry, or by SPIFFE ids of its own.

# Bytes of a SPIFFE id, and how many of a certificate are looked at: each counts with everything that it is below.
cdef int SPIFFE_ID_MAX = 2048
cdef int SPIFFE_IDS_MAX = 8


cdef class Caller:
    def __init__(self, str app="", str space="", str organization="", spiffe_ids=()):
        cdef list claims = []
        self.app = app.encode("utf-8", "replace")
        self.space = space.encode("utf-8", "replace")
        self.organization = organization.encode("utf-8", "replace")
        if self.app:
            claims.append(b"cf:any")
        for kind, guid in ((b"cf:app:", self.app), (b"cf:space:", self.space), (b"cf:org:", self.organization)):
            if guid:
                claims.append(kind + guid)
        for identity in list(spiffe_ids)[:SPIFFE_IDS_MAX]:
            claims += spiffe_claims(identity.encode("utf-8", "replace"))
        self.claims = tuple(claims)


cdef list spiffe_claims(bytes identity):
    """The sources of policies that are for this SPIFFE id: itself, and `/*` behind everything that it is below."""
    cdef list claims = [identity]
    cdef Py_ssize_t root = len(b"spiffe://")
    cdef Py_ssize_t at
    if len(identity) > SPIFFE_ID_MAX or not identity.startswith(b"spiffe://"):
        return []
    at = identity.rfind(b"/", root)
    while at >= root:
        claims.append(identity[:at] + b"/*")
        at = identity.rfind(b"/", root, at)
    return claims
