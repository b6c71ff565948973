# ListenerProtocol: how the connections of one listener become clients, with a PROXY header or without, with TLS or without.

cdef class ListenerProtocol:
    def __init__(self, DataPlane plane not None, *, bint reads_proxy_headers=False, is_trusted_proxy=None):
        self.plane = plane
        self.reads_proxy_headers = reads_proxy_headers
        self.is_trusted_proxy = is_trusted_proxy

    def secure(self, context not None, *, tuple protocols=(), is_allowed=None, bint knows_domains=False):
        """From now on connections begin with a TLS handshake after these rules; those that there are go on under theirs.

        Who asks for an mTLS domain of the data plane shakes hands by its rules, if the listener `knows_domains`.
        """
        self.knows_domains = knows_domains
        self.context = context
        self.protocols = protocols
        self.is_allowed = is_allowed

    def new_connection(self):
        """Protocol factory for `loop.create_server`."""
        if self.reads_proxy_headers:
            return ProxyHeaderReader(self)
        return self.open(ClientConnection(self.plane))

    cdef object open(self, ClientConnection client):
        """The protocol that the connection of `client` has once its PROXY header, if any, is read."""
        if self.context is not None:
            return ClientTLSTransport(self, client)
        return PrefaceReader(client) if self.plane.settings.takes_h2c else client
