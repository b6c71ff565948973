"""What the fields of HTTP/2 become in HTTP/1.1 and the other way round; above all, what they must not become."""

import pytest

from fastrouter._core import (
    MalformedFieldsError,
    http2_request_fields,
    http2_request_head,
    http2_response_fields,
    http2_response_head,
    http2_trailer_lines,
)

Fields = tuple[tuple[bytes, bytes], ...]

GET: Fields = ((b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example.com"))


def changed(name: bytes, value: bytes | None) -> Fields:
    """GET with another value of one pseudo-header, or without it."""
    return tuple((n, v if n != name else value) for n, v in GET if n != name or value is not None)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "has_body", "head"),
    [
        (GET, False, b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n"),
        (
            (*GET, (b"x-a", b"1"), (b"x-b", b"")),
            False,
            b"GET / HTTP/1.1\r\nHost: a.example.com\r\nx-a: 1\r\nx-b: \r\n\r\n",
        ),
        (
            (*GET, (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")),
            False,
            b"GET / HTTP/1.1\r\nHost: a.example.com\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n",
        ),
        ((*GET, (b"te", b"trailers")), False, b"GET / HTTP/1.1\r\nHost: a.example.com\r\nte: trailers\r\n\r\n"),
        ((*GET, (b"host", b"A.example.com")), False, b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n"),
        (
            (*changed(b":authority", None), (b"x", b"y"), (b"host", b"b.example.com")),
            False,
            b"GET / HTTP/1.1\r\nHost: b.example.com\r\nx: y\r\n\r\n",
        ),
        (GET, True, b"GET / HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (
            (*GET, (b"content-length", b"7")),
            True,
            b"GET / HTTP/1.1\r\nHost: a.example.com\r\ncontent-length: 7\r\n\r\n",
        ),
        (
            (*GET, (b"content-length", b"0")),
            False,
            b"GET / HTTP/1.1\r\nHost: a.example.com\r\ncontent-length: 0\r\n\r\n",
        ),
        (changed(b":path", b"/a%20b?c=d"), False, b"GET /a%20b?c=d HTTP/1.1\r\nHost: a.example.com\r\n\r\n"),
        (
            ((b":method", b"OPTIONS"), *changed(b":path", b"*")[1:]),
            False,
            b"OPTIONS * HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
        ),
        (
            ((b":method", b"CONNECT"), (b":authority", b"a.example.com:443")),
            False,
            b"CONNECT a.example.com:443 HTTP/1.1\r\nHost: a.example.com:443\r\n\r\n",
        ),
    ],
)
def test_a_request_becomes_text(fields: Fields, has_body: bool, head: bytes) -> None:
    assert http2_request_head(fields, has_body) == head


SMUGGLED = [
    *[
        (b"X-A", b"1"),
        (b"x a", b"1"),
        (b"x:a", b"1"),
        (b"x-a\r\nhost", b"1"),
        (b"x\0", b"1"),
        (b"", b"1"),
        (b"x\n", b"1"),
    ],
    *[(b" x", b"1"), (b"x\t", b"1"), (b"x\x7f", b"1"), (b"x\xe4", b"1"), (b"x(", b"1"), (b":x", b"1")],
    *[(b"x", b"a\r\nb: c"), (b"x", b"a\nb: c"), (b"x", b"a\rb"), (b"x", b"a\0b"), (b"x", b"a\x01b"), (b"x", b"a\x7fb")],
    *[(b"x", b" a"), (b"x", b"a "), (b"x", b"\ta"), (b"x", b"a\t"), (b"x", b" ")],
    *[(b"connection", b"close"), (b"connection", b""), (b"proxy-connection", b"close"), (b"keep-alive", b"timeout=1")],
    *[(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity"), (b"upgrade", b"websocket")],
    *[(b"te", b"gzip"), (b"te", b"trailers, gzip"), (b"te", b"")],
    *[(b"content-length", b"+1"), (b"content-length", b"1 1"), (b"content-length", b"0x1"), (b"content-length", b"")],
    *[(b"content-length", b"1,1"), (b"content-length", b"-1"), (b"content-length", b"1" * 19)],
]


@pytest.mark.parametrize("has_body", [False, True])
@pytest.mark.parametrize(("name", "value"), SMUGGLED)
def test_no_field_becomes_anything_else(name: bytes, value: bytes, has_body: bool) -> None:
    with pytest.raises(MalformedFieldsError):
        http2_request_head((*GET, (name, value)), has_body)
    with pytest.raises(MalformedFieldsError):
        http2_response_head(((b":status", b"200"), (name, value)), has_body)
    if name != b"content-length":
        with pytest.raises(MalformedFieldsError):
            http2_trailer_lines(((name, value),))


@pytest.mark.parametrize(
    "fields",
    [
        *[changed(name, None) for name, _ in GET],
        *[(*GET, field) for field in GET],
        *[(field, *GET) for field in GET],
        *[changed(name, b"") for name, _ in GET],
        (*GET, (b":status", b"200")),
        ((b":protocol", b"websocket"), *GET),
        ((b":unknown", b"x"), *GET),
        ((b"x", b"y"), *GET),
        (*GET[:3], (b"x", b"y"), GET[3]),
        *[
            changed(b":method", method)
            for method in (b"G ET", b"GET /evil HTTP/1.1\r\n", b"GE\0T", b"G\nET", b"CONNECT")
        ],
        *[changed(b":scheme", scheme) for scheme in (b"ftp", b"https\r\n", b"HTTP ", b"https://x")],
        *[
            changed(b":path", path)
            for path in (b"a", b"/a b", b"/ HTTP/1.1\r\nx: y", b"/\n", b"/\0", b"/\t", b"/\x7f", b"*")
        ],
        *[changed(b":path", path) for path in (b"http://b.example.com/", b"?a", b" /", b"/ ")],
        *[
            changed(b":authority", host)
            for host in (b"u@a.example.com", b"u:p@a", b"a b", b"a\r\nx: y", b"a/b", b"a\0", b"a?b")
        ],
        (*GET, (b"host", b"b.example.com")),
        (*GET, (b"host", b"")),
        (*GET, (b"host", b"a.example.com"), (b"host", b"a.example.com")),
        (*changed(b":authority", None), (b"host", b"u@a")),
        (*changed(b":authority", None), (b"host", b"a\r\nx: y")),
        (*GET, (b"content-length", b"1"), (b"content-length", b"2")),
        (*GET, (b"content-length", b"1"), (b"content-length", b"1")),
        (*GET, (b"content-length", b"1")),
        ((b":method", b"CONNECT"), (b":authority", b"a b")),
        ((b":method", b"CONNECT"), (b":path", b"/"), (b":authority", b"a")),
        (),
    ],
)
def test_what_is_no_request(fields: Fields) -> None:
    with pytest.raises(MalformedFieldsError):
        http2_request_head(fields, False)


def test_a_response_becomes_text() -> None:
    fields = ((b":status", b"200"), (b"x-a", b"1"))
    assert http2_response_head(fields, True) == b"HTTP/1.1 200 OK\r\nx-a: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert http2_response_head(fields, False) == b"HTTP/1.1 200 OK\r\nx-a: 1\r\n\r\n"
    fields = ((b":status", b"206"), (b"content-length", b"9"))
    assert http2_response_head(fields, True) == b"HTTP/1.1 206 Partial Content\r\ncontent-length: 9\r\n\r\n"
    assert http2_response_head(((b":status", b"103"),), False) == b"HTTP/1.1 103 Early Hints\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"x", b"y"),),
        *[
            ((b":status", status),)
            for status in (b"", b"99", b"1000", b"101", b"20x", b"099", b"2 0", b"\xb2\xb2\xb2", b"200 OK")
        ],
        ((b":status", b"200"), (b":status", b"200")),
        ((b":status", b"200"), (b":path", b"/")),
        ((b":status", b"200"), (b"content-length", b"1"), (b"content-length", b"1")),
    ],
)
def test_what_is_no_response(fields: Fields) -> None:
    with pytest.raises(MalformedFieldsError):
        http2_response_head(fields, False)


def test_trailers_become_lines() -> None:
    assert http2_trailer_lines(((b"grpc-status", b"0"), (b"x", b""))) == b"grpc-status: 0\r\nx: \r\n"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", b"/"),
        (b"/a?b", b"/a?b"),
        (b"*", b"*"),
        (b"http://u@a/b", b"/b"),
        (b"https://a", b"/"),
        (b"http://a?b/c", b"/?b/c"),
        (b"https://a.example.com//x", b"//x"),
    ],
)
def test_a_rendered_request_becomes_fields(target: bytes, path: bytes) -> None:
    head = b"POST %b HTTP/1.1\r\nHost: a:1\r\nX-A: b: c\r\nTe: trailers\r\nConnection: close\r\nX-B:\r\n\r\n" % target
    assert http2_request_fields(head, True) == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"a:1"),
        (b":path", path),
        (b"x-a", b"b: c"),
        (b"te", b"trailers"),
        (b"x-b", b""),
    ]


def test_a_rendered_response_becomes_fields() -> None:
    head = (
        b"HTTP/1.1 404 Not Found\r\nX-Cf-Routererror: unknown_route\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    )
    assert http2_response_fields(head) == [
        (b":status", b"404"),
        (b"x-cf-routererror", b"unknown_route"),
        (b"content-length", b"3"),
    ]
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert http2_response_fields(head) == [(b":status", b"200"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
