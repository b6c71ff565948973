"""The host that a ClientHello asks for (SNI), as OpenSSL's clients write it and as anybody may."""

import ssl
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from fastrouter._core import server_name_in

_LABELS = st.text("abcXYZ019-", min_size=1, max_size=20).filter(lambda text: text[0] != "-" and text[-1] != "-")
_NAMES = (
    st.lists(_LABELS, min_size=2, max_size=4).map(".".join).filter(lambda name: not name.rpartition(".")[2].isdigit())
)


def hello_of(name: str | None, protocols: list[str]) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(protocols)
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@given(_NAMES, st.sampled_from([[], ["h2"], ["h2", "http/1.1"]]))
def test_what_a_client_asks_for(name: str, protocols: list[str]) -> None:
    hello = hello_of(name, protocols)
    assert server_name_in(hello) == name.encode()
    assert server_name_in(hello[:-1]) is None, "it is not complete"


def test_a_client_that_asks_for_nobody() -> None:
    assert server_name_in(hello_of(None, [])) is None


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 255))
def test_whatever_it_is(data: bytes, at: int, byte: int) -> None:
    server_name_in(data)
    hello = bytearray(hello_of("name.test", ["h2"]))
    hello[at % len(hello)] = byte
    found = server_name_in(bytes(hello))
    # A name is never longer than what was sent.
    assert found is None or len(found) < len(hello)
