"""PROXY headers: what is rendered is read again, any bytes get a verdict, and cuts make no difference (spec 8.1)."""

import ipaddress
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastrouter._core import has_foreign_protocols, parse_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

ports = st.integers(0, 65535)
rest = st.binary(max_size=40)


def line(source: object, target: object, source_port: object, target_port: object, family: str = "TCP4") -> bytes:
    return f"PROXY {family} {source} {target} {source_port} {target_port}\r\n".encode()


def block(source: bytes, target: bytes, source_port: int, extra: bytes = b"", *, command: int = 0x21) -> bytes:
    family = {4: 0x11, 16: 0x21}[len(source)]
    content = source + target + struct.pack(">HH", source_port, 443) + extra
    return SIGNATURE + struct.pack(">BBH", command, family, len(content)) + content


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, bytes, int]:
    """A header, and the client it names."""
    addresses = st.ip_addresses(v=draw(st.sampled_from([4, 6])))
    source, target, port = draw(addresses), draw(addresses), draw(ports)
    if draw(st.booleans()):
        spelling = source.exploded if draw(st.booleans()) else source.compressed
        header = line(spelling, target, port, draw(ports), f"TCP{source.version}")
    else:
        header = block(source.packed, target.packed, port, draw(st.binary(max_size=300)))
    return header, str(source).encode(), port


@given(headers(), rest)
def test_a_header_is_read(header: tuple[bytes, bytes, int], rest: bytes) -> None:
    data, ip, port = header
    parsed = parse_proxy_header(data + rest)
    assert parsed is not None
    size, found, found_port = parsed
    assert (size, found_port) == (len(data), port)
    assert found is not None
    # Some IPv6 addresses have two usual spellings.
    assert ipaddress.ip_address(found.decode()) == ipaddress.ip_address(ip.decode())


@given(headers())
def test_a_part_of_a_header_is_waited_for(header: tuple[bytes, bytes, int]) -> None:
    data, _, _ = header
    assert all(parse_proxy_header(data[:end]) is None for end in range(len(data)))


@given(st.binary(max_size=200) | st.builds(bytes.__add__, st.sampled_from([b"PROXY ", SIGNATURE]), st.binary()))
@example(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r")
@example(SIGNATURE + b"\x21\x11\xff\xff")
def test_anything_gets_a_verdict(data: bytes) -> None:
    try:
        parsed = parse_proxy_header(data)
    except ValueError:
        assert data.startswith((b"PROXY ", SIGNATURE))
        return
    if parsed is None:
        return
    size, ip, port = parsed
    assert size <= len(data)
    assert (size == 0) == (not data.startswith((b"PROXY ", SIGNATURE)))
    assert 0 <= port <= 65535
    if ip is not None:
        ipaddress.ip_address(ip.decode())


@given(headers(), st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_gets_a_verdict(header: tuple[bytes, bytes, int], place: int, byte: int) -> None:
    data = bytearray(header[0])
    data[place % len(data)] = byte
    test_anything_gets_a_verdict.hypothesis.inner_test(bytes(data))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY UNKNOWN\n",
        b"PROXY unknown\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY  UNKNOWN\r\n",
        b"PROXY UNKNOWN" + b"x" * 94,
        b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.256 1 2\r\n",
        b"PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 x\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 000001 2\r\n",
        b"PROXY \r\n",
        b"PROXY \n",
        b"PROXY " + b"x" * 101,
        SIGNATURE + b"\x11\x11\x00\x0c",
        SIGNATURE + b"\x22\x11\x00\x0c",
        SIGNATURE + b"\x22\x00\x00\x00",
        SIGNATURE + b"\x21\x01\x00\x00",
        SIGNATURE + b"\x21\x10\x00\x0c",
        SIGNATURE + b"\x21\x12\x00\x0c",
        SIGNATURE + b"\x21\x31\x00\xd8",
        SIGNATURE + b"\x21\x11\x00\x0b",
        SIGNATURE + b"\x21\x21\x00\x23",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_proxy_header(data)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n", b"PROXX", b"\r\n\r\nGET", b"\x16\x03\x01"]
)
def test_without_a_header(data: bytes) -> None:
    assert parse_proxy_header(data) == (0, None, 0)


@pytest.mark.parametrize(
    "data",
    [
        SIGNATURE + b"\x20\x00\x00\x03abc",
        SIGNATURE + b"\x20\x11\x00\x03abc",
        SIGNATURE + b"\x21\x00\x00\x00",
        SIGNATURE + b"\x21\x00\x00\x03abc",
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN \r\n",
        b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n",
    ],
)
def test_who_is_not_named(data: bytes) -> None:
    """LOCAL, UNSPEC and UNKNOWN: the connection's own address counts, and whatever follows is passed over."""
    assert parse_proxy_header(data[:-1]) is None
    assert parse_proxy_header(data + b"GET") == (len(data), None, 0)


@given(
    st.binary(max_size=400)
    | st.builds(lambda tail: b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" + tail, st.binary())
)
def test_any_greeting_gets_a_verdict(data: bytes) -> None:
    """Reading a ClientHello reads nothing outside of it, and never fails."""
    assert has_foreign_protocols(data, (b"http/1.1",)) in (None, True, False)


def test_a_greeting_in_many_records() -> None:
    """A few are read through; a hundred are left to OpenSSL instead of being walked again with every byte."""
    body = b"\x03\x03%b\x00\x00\x02\x13\x01\x01\x00\x00\x09\x00\x10\x00\x05\x00\x03\x02h2" % bytes(32)
    hello = b"\x01\x00\x00" + bytes([len(body)]) + body

    def records(size: int) -> bytes:
        pieces = [hello[at : at + size] for at in range(0, len(hello), size)]
        return b"".join(b"\x16\x03\x01\x00" + bytes([len(piece)]) + piece for piece in pieces)

    assert len(hello) <= 64
    for size in (1, 2, len(hello)):
        assert has_foreign_protocols(records(size), (b"http/1.1",)) is True
        assert has_foreign_protocols(records(size)[:-1], (b"http/1.1",)) is None
    padded = b"\x16\x03\x01\x00\x04\x01\x00\x7f\x00" + b"\x16\x03\x01\x00\x01\x00" * 100
    assert has_foreign_protocols(padded[: 9 + 62 * 6], (b"http/1.1",)) is None
    assert has_foreign_protocols(padded, (b"http/1.1",)) is False
