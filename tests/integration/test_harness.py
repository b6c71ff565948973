"""The raw client and the raw backend against each other, without a router: they must not be what is wrong."""

import socket

import pytest

from .http_message import canonical, chunked, response_with
from .raw_backend import BackendStream, ClosedPort, FullBacklog, RawBackend, ReservedPort, ServingBackend
from .raw_client import RawClient


def test_client_and_backend_see_exact_bytes() -> None:
    with RawBackend() as backend, RawClient(backend.port) as client:
        request = b"POST /p?q HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        client.send_split(request)
        stream, received = backend.accept_request()
        assert bytes(stream.received) == request
        assert (received.method, received.target, received.body) == (b"POST", b"/p?q", b"abc")
        assert received.framing == "length"
        stream.send(response_with(b"hello", b"Set-Cookie: a=1", b"Set-Cookie: b=2"))
        response = client.read_response()
        assert (response.status, response.reason, response.body) == (200, b"OK", b"hello")
        assert response.values(b"set-cookie") == [b"a=1", b"b=2"]


def test_chunked_with_trailers_is_read_back() -> None:
    with RawBackend() as backend, RawClient(backend.port) as client:
        stream = backend.accept()
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        stream.send(chunked(b"ab", b"cde", trailers=b"X-Sum: 5\r\n"))
        response = client.read_response()
        assert response.body == b"abcde"
        assert response.chunks == (2, 3)
        assert response.trailers == ((b"X-Sum", b"5"),)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n",
    ],
)
def test_strict_reader_refuses(head: bytes) -> None:
    with RawBackend() as backend, RawClient(backend.port) as client:
        backend.accept().send(head)
        with pytest.raises(AssertionError):
            client.read_response()


def test_close_delimited_body_of_http_1_0() -> None:
    with RawBackend() as backend, RawClient(backend.port) as client:
        stream = backend.accept()
        stream.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        stream.close()
        assert client.read_response().body == b"all of it"
        client.expect_end()


def test_short_body_is_noticed() -> None:
    with RawBackend() as backend, RawClient(backend.port) as client:
        stream = backend.accept()
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
        stream.close()
        with pytest.raises(EOFError):
            client.read_response()


def test_reset_and_half_close() -> None:
    with RawBackend() as backend, RawClient(backend.port) as client, RawClient(backend.port) as other:
        stream = backend.accept()
        client.half_close()
        stream.expect_end()
        stream.send(b"still open")
        assert client.read_exactly(10) == b"still open"
        assert client.is_silent()
        backend.accept().reset()
        with pytest.raises(ConnectionResetError):
            other.read_to_end()


def test_closed_port_refuses_and_full_backlog_stays_silent() -> None:
    closed, full = ClosedPort(), FullBacklog()
    with pytest.raises(ConnectionRefusedError):
        RawClient(int(closed.address.rpartition(":")[2]))
    with pytest.raises(TimeoutError):
        RawClient(int(full.address.rpartition(":")[2]), patience=0.3)
    closed.close()
    full.close()


def test_serving_backend_responds_to_every_request() -> None:
    def echo(stream: BackendStream) -> None:
        stream.send(response_with(stream.read_request().body))

    with ServingBackend(echo) as backend:
        with RawClient(backend.port) as client:
            for number in range(3):
                body = b"%d" % number
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n" + body)
                assert client.read_response().body == body
        assert backend.connection_count == 1
        assert not backend.errors


def test_send_until_blocked_stops_at_a_peer_that_does_not_read() -> None:
    with RawBackend(receive_buffer=65536) as backend, RawClient(backend.port) as client:
        stream = backend.accept()
        data = bytes(64 << 20)
        sent = client.send_until_blocked(data, quiet=0.1)
        assert 0 < sent < len(data)
        assert stream.read_exactly(sent) == data[:sent]


def test_canonical() -> None:
    assert canonical(b"x-CF-applicationID") == b"X-Cf-Applicationid"
    assert canonical(b"te") == b"Te"


def test_a_reserved_port_is_one_server_after_the_others() -> None:
    with ReservedPort() as reserved:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                RawClient(reserved.number)
            with socket.create_server(("127.0.0.1", reserved.number)), RawClient(reserved.number):
                pass
