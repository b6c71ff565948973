"""The far end of a TLS connection of the router, without sockets: what a test sends and finds is in the clear."""

import ctypes
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress

import trustme

from .fake_network import FakeTransport
from .test_splits import cut


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """What a server of this name shows to clients of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, key_type=trustme.KeyType.ECDSA).configure_cert(context)
    return context


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def ask_for_keys(tls: ssl.SSLObject, count: int) -> None:
    """Write so many key updates (RFC 8446 section 4.6.3), which Python's ssl has no word for."""
    with open("/proc/self/maps") as maps:
        openssl = ctypes.CDLL(next(line.split()[-1] for line in maps if "libssl" in line))
    # CPython's object begins with the module's socket, and then OpenSSL's connection.
    handle = ctypes.c_void_p.from_address(id(tls._sslobj) + object.__basicsize__ + 8)  # type: ignore[attr-defined]
    for _ in range(count):
        assert openssl.SSL_key_update(handle, 1) == 1
        assert openssl.SSL_do_handshake(handle) == 1


class SecureEnd:
    """The router writes to `transport`; `deliver` hands it ciphertext in pieces; `tls_of` makes the SSLObject."""

    def __init__(
        self,
        transport: Callable[[], FakeTransport],
        deliver: Callable[..., None],
        tls_of: Callable[[ssl.MemoryBIO, ssl.MemoryBIO], ssl.SSLObject],
        sizes: Iterable[int] = (1 << 20,),
    ) -> None:
        self._transport = transport
        self._deliver = deliver
        self._sizes = list(sizes)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls_of(self._incoming, self._outgoing)
        self._taken = 0
        self.got = bytearray()
        self.has_close_notify = False

    def begin_handshake(self) -> None:
        """One step of it, in which the other end has something to say first, or next."""
        self._take()
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._give()
        self._take()

    def shake_hands(self) -> None:
        while True:
            self._take()
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._give()
            else:
                self._give()
                return self.read()

    def shake_hands_and_send(self, data: bytes) -> None:
        """Let `data` come in one piece with a client's last words of the handshake (TLS 1.3)."""
        for _ in range(2):
            with suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
                break
            self._give()
            self._take()
        self.send(data)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            if piece:
                self._tls.write(piece)
                self._give()
                self.read()

    def read(self) -> None:
        """Take what the router has written."""
        self._take()
        try:
            while data := self._tls.read(65536):
                self.got += data
            self.has_close_notify = True
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError) as end:
            self.has_close_notify |= isinstance(end, ssl.SSLZeroReturnError)
        # Its answer to a key update.
        self._give()

    def encrypted(self, data: bytes) -> bytes:
        """`data` as the records that are still to be delivered."""
        self._tls.write(data)
        return self._outgoing.read()

    def key_updates(self, count: int) -> bytes:
        """Records that ask for new keys of the router."""
        ask_for_keys(self._tls, count)
        return self._outgoing.read()

    def send_close_notify(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._give()

    def _give(self) -> None:
        if data := self._outgoing.read():
            self._deliver(*cut(data, self._sizes))

    def _take(self) -> None:
        written = self._transport().written
        self._incoming.write(bytes(written[self._taken :]))
        self._taken = len(written)
