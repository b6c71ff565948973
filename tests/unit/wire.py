"""TLS between two ends in memory."""

import ssl

from integration.tls_backend import SAN


class Wire:
    """A client and a server end, and what they say to each other."""

    def __init__(
        self, client: ssl.SSLContext, server: ssl.SSLContext, name: str = SAN, session: ssl.SSLSession | None = None
    ) -> None:
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)

    def shake_hands(self) -> "Wire":
        waiting = [self.client, self.server]
        for _ in range(10):
            for end in list(waiting):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(end)
        assert not waiting
        return self

    def answer(self) -> "Wire":
        """One request and its response, after which a session is there to be kept."""
        self.client.write(b"ask")
        assert self.server.read() == b"ask"
        self.server.write(b"tell")
        assert self.client.read() == b"tell"
        return self
