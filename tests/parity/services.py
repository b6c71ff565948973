"""Cases about route services: requests that visit one, and requests that say they come from one."""

# fmt: off
# Values stand in rows, as in the corpus.

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import gorouter_signature
from integration.http_message import chunked, response_with

from .case import Case, Do, Step, request

SECRET, OLD_SECRET = "parity-secret", "parity-secret-before"
KEY, OLD_KEY = gorouter_signature.key_of(SECRET), gorouter_signature.key_of(OLD_SECRET)
_LIFETIME = timedelta(hours=1)

KEYS: dict[str, Any] = {
    "route_services_secret": SECRET,
    "route_services_secret_decrypt_only": OLD_SECRET,
    "route_services_timeout": "1h",
    "skip_ssl_validation": True,
}

_APP = {"app": "33333333-cccc-4ccc-8ccc-333333333333", "private_instance_id": "instance-s", "private_instance_index": "2"}

REGISTRATIONS: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("a", ("served.parity", "served.parity/Some/path"), {**_APP, "route_service_url": "https://localhost:<outer>/visit?a=b"}),
    ("a", ("bare.parity",), {**_APP, "route_service_url": "https://localhost:<outer>"}),
    ("a", ("escaped.parity",), {**_APP, "route_service_url": "https://localhost:<outer>/a%2fb/%41?c=%zz;d"}),
    ("a", ("down.parity",), {**_APP, "route_service_url": "https://localhost:<refused>/down"}),
    ("a", ("nowhere.parity",), {**_APP, "route_service_url": "https://nowhere.invalid/"}),
    ("a", ("in.parity",), {**_APP, "route_service_url": "https://service.parity/visit"}),
    ("a", ("other-in.parity",), {**_APP, "route_service_url": "https://x.star.parity/visit"}),
    ("inner", ("service.parity", "*.star.parity"), {"app": "44444444-dddd-4ddd-8ddd-444444444444", "private_instance_id": "instance-i"}),
    ("a", ("plain.parity",), {}),
)

BACK: tuple[Step, ...] = (Do.READ, Do.SEND_BACK)


def _case(name: str, start_line: bytes = b"GET / HTTP/1.1", *lines: bytes, host: bytes = b"served.parity", body: bytes = b"", service: tuple[Step, ...] = BACK, settle: float = 0.0) -> Case:
    return Case(name, (request(start_line, *lines, host=host, body=body), Do.READ), service=service, settle=settle)


def visits() -> Iterator[Case]:
    """Requests that go to a service, which sends them back, answers itself, or fails."""
    yield _case("visit")
    for target in (b"/x?y=z", b"/?", b"/Some/path/x", b"//a/b?c", b"/%41%2f?%zz", b"/\xc3\xa4?\xff", b"/a;b?c;d", b"/<>\"&", b"http://served.parity/x?y", b"http://served.parity", b"/#f"):
        yield _case(f"visit for {target!r}", b"GET " + target + b" HTTP/1.1")
    for host in (b"served.parity:8080", b"SERVED.parity", b"bare.parity", b"escaped.parity"):
        yield _case(f"visit for host {host!r}", host=host)
        yield _case(f"visit answered for host {host!r}", b"GET /x?y HTTP/1.1", host=host, service=(Do.READ, response_with(b"mine")))
    yield _case("visit of POST", b"POST /x HTTP/1.1", b"Content-Length: 5", body=b"hello")
    yield _case("visit of chunks", b"POST /x HTTP/1.1", b"Transfer-Encoding: chunked", body=chunked(b"hello"), service=(Do.READ, response_with(b"mine")))
    yield _case("visit of HEAD", b"HEAD / HTTP/1.1", service=(Do.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"))
    yield _case("visit with HTTP/1.0", b"GET / HTTP/1.0")
    for lines in (
        (b"X-Forwarded-For: 1.2.3.4",), (b"X-Forwarded-Proto: https",), (b"X-Forwarded-Client-Cert: x",), (b"X-Vcap-Trace: key",), (b"X-Vcap-Request-Id: mine",), (b"User-Agent: u", b"Referer: r", b"Cookie: JSESSIONID=x; __VCAP_ID__=instance-s"),
        (b"X-CF-Forwarded-Url: http://mine/",), (b"X-CF-Proxy-Metadata: mine",), (b"X-CF-Proxy-Signature:",), (b"Connection: X-CF-Proxy-Signature, X-CF-Forwarded-Url",), (b"Connection: close",), (b"X-CF-ApplicationID: mine",), (b"X-Cf-App-Instance: 33333333-cccc-4ccc-8ccc-333333333333:2",), (b"X-Cf-App-Instance: 33333333-cccc-4ccc-8ccc-333333333333:3",),
        (b"TE: trailers",), (b"Upgrade: other", b"Connection: Upgrade"),
    ):
        yield _case(f"visit with {b' | '.join(lines)!r}", b"GET / HTTP/1.1", *lines)
    yield _case("visit and websocket", b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket")
    for status in (b"200 x", b"204 x", b"302 x", b"400 x", b"404 x", b"500 x", b"502 x"):
        yield _case(f"service answers {status.decode()}", service=(Do.READ, b"HTTP/1.1 " + status + b"\r\nX-Cf-Proxy-Signature: s\r\nX-Cf-Proxy-Metadata: m\r\nX-Cf-Routererror: mine\r\n" + (b"" if status[:3] == b"204" else b"Content-Length: 0\r\n") + b"\r\n"))
    yield _case("service sets a session", service=(Do.READ, response_with(b"ok", b"Set-Cookie: JSESSIONID=y")))
    yield _case("service gives hints", service=(Do.READ, b"HTTP/1.1 103 x\r\nLink: y\r\n\r\n" + response_with(b"ok")))
    for what, steps in (("EOF", (Do.READ, Do.CLOSE)), ("reset", (Do.READ, Do.RESET)), ("garbage", (Do.READ, b"garbage\r\n\r\n", Do.CLOSE)), ("half a body", (Do.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 0.1, Do.CLOSE)), ("silence", (Do.READ, 3.0))):
        yield _case(f"service: {what}", service=steps, settle=0.1)
        yield _case(f"service: {what}, POST", b"POST / HTTP/1.1", b"Content-Length: 1", body=b"x", service=steps, settle=0.1)
    for host in (b"down.parity", b"nowhere.parity"):
        yield _case(f"service of {host.decode()}", host=host)
        yield _case(f"service of {host.decode()}, POST", b"POST / HTTP/1.1", b"Content-Length: 1", host=host, body=b"x")
    yield _case("no service", host=b"plain.parity")


def _signed(key: bytes = KEY, url: str = "http://served.parity/", age: timedelta = timedelta()) -> tuple[bytes, bytes]:
    return gorouter_signature.sign(key, url, at=datetime.now(UTC) - age)


def _lines(signature: bytes, metadata: bytes, url: bytes = b"http://served.parity/") -> tuple[bytes, ...]:
    return b"X-CF-Proxy-Signature: " + signature, b"X-CF-Proxy-Metadata: " + metadata, b"X-CF-Forwarded-Url: " + url


def returns() -> Iterator[Case]:
    """Requests with a signature, right and wrong, for a route with a service and for one without."""
    good = _signed()
    nonce = b"n" * 12
    for name, lines in (
        ("good", _lines(*good)), ("of the secret before", _lines(*_signed(OLD_KEY))), ("old", _lines(*_signed(age=_LIFETIME / 2))), ("expired", _lines(*_signed(age=2 * _LIFETIME))), ("of the future", _lines(*_signed(age=-_LIFETIME))), ("expired, of the secret before", _lines(*_signed(OLD_KEY, age=2 * _LIFETIME))),
        ("of nobody", _lines(*_signed(gorouter_signature.key_of("other")))), ("for a path", _lines(*_signed(url="http://served.parity/x/y?z"))), ("for a longer route", _lines(*_signed(url="http://served.parity/some/path"))), ("for another route", _lines(*_signed(url="http://plain.parity/"))), ("for no route", _lines(*_signed(url="http://unknown.parity/x"))),
        ("for https", _lines(*_signed(url="https://served.parity/"))), ("for a port", _lines(*_signed(url="http://served.parity:99/"))), ("for odd case", _lines(*_signed(url="http://SERVED.parity/"))), ("for no URL", _lines(*_signed(url="served.parity"))), ("for nothing", _lines(*_signed(url=""))), ("for a bad URL", _lines(*_signed(url="http://a b/"))), ("for a bad escape", _lines(*_signed(url="http://served.parity/%zz"))),
        ("without metadata", (b"X-CF-Proxy-Signature: " + good[0],)), ("without a URL", _lines(*good)[:2]), ("with another URL", _lines(*good, b"http://else/")), ("alone", (b"X-CF-Proxy-Signature: x",)), ("empty", (b"X-CF-Proxy-Signature:", b"X-CF-Proxy-Metadata: " + good[1])), ("twice", (*_lines(*good), b"X-CF-Proxy-Signature: x")),
        ("no base64", _lines(b"!", good[1])), ("metadata no base64", _lines(good[0], b"!")), ("metadata no JSON", _lines(good[0], b"eA==")), ("metadata of others", _lines(good[0], _signed()[1])), ("short", _lines(b"eA==", good[1])), ("cut", _lines(good[0][:-8], good[1])),
        ("without nonce", _lines(good[0], b"e30=")), ("short nonce", _lines(good[0], b"eyJub25jZSI6ImVBPT0ifQ==")),
        ("no JSON inside", _lines(*gorouter_signature.seal(KEY, b"x", nonce=nonce))), ("null inside", _lines(*gorouter_signature.seal(KEY, b"null", nonce=nonce))), ("bad time inside", _lines(*gorouter_signature.seal(KEY, b'{"forwarded_url":"http://served.parity/","requested_time":"x"}', nonce=nonce))), ("no time inside", _lines(*gorouter_signature.seal(KEY, b'{"forwarded_url":"http://served.parity/"}', nonce=nonce))),
    ):
        for host in (b"served.parity", b"plain.parity"):
            yield _case(f"signature {name}, {host.decode()}", b"GET / HTTP/1.1", *lines, host=host)
    yield _case("signature for the longer route", b"GET /some/path HTTP/1.1", *_lines(*_signed(url="http://served.parity/some/path")))
    yield _case("signature for the shorter route", b"GET /some/path HTTP/1.1", *_lines(*good))
    yield _case("signature of POST", b"POST / HTTP/1.1", *_lines(*good), b"Content-Length: 5", body=b"hello")
    for lines in ((b"X-Forwarded-Proto: https",), (b"X-Forwarded-Client-Cert: x",), (b"X-Forwarded-For: 1.2.3.4",), (b"Connection: X-CF-Proxy-Signature",), (b"Connection: Upgrade", b"Upgrade: websocket")):
        yield _case(f"signature with {b' | '.join(lines)!r}", b"GET / HTTP/1.1", *_lines(*good), *lines)
        yield _case(f"bad signature with {b' | '.join(lines)!r}", b"GET / HTTP/1.1", *_lines(b"x", b"x"), *lines)
    yield _case("signature for an unknown host", b"GET / HTTP/1.1", *_lines(*good), host=b"unknown.parity")
    yield _case("signature for a service", b"GET / HTTP/1.1", *_lines(*good), host=b"service.parity")


def inner() -> Iterator[Case]:
    """Services that are apps of the router."""
    for host in (b"in.parity", b"other-in.parity"):
        yield _case(f"inner visit of {host.decode()}", b"GET /x?y HTTP/1.1", host=host)
        yield _case(f"inner visit of {host.decode()}, POST", b"POST /x HTTP/1.1", b"Content-Length: 5", host=host, body=b"hello")
        yield _case(f"inner visit of {host.decode()}, answered", b"GET /x HTTP/1.1", host=host, service=(Do.READ, response_with(b"mine", b"X-Cf-Proxy-Signature: s", status=b"403 x")))
        for lines in ((b"X-Forwarded-For: 1.2.3.4",), (b"X-Forwarded-Proto: https",), (b"X-Forwarded-Client-Cert: x",), (b"X-Vcap-Request-Id: mine",)):
            yield _case(f"inner visit of {host.decode()} with {b' | '.join(lines)!r}", b"GET / HTTP/1.1", *lines, host=host)
        yield _case(f"inner visit of {host.decode()}, EOF", host=host, service=(Do.READ, Do.CLOSE))
    yield _case("outer visit")
    yield _case("service itself", host=b"service.parity", service=(Do.READ, response_with(b"mine")))
