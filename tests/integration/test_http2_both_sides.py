"""HTTP/2 on both sides of an exchange: nothing of a message is lost in the text between them (ADR 16)."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, RequestReceived, StreamReset, TrailersReceived
from h2.settings import SettingCodes
from hpack import NeverIndexedHeaderTuple

from fastrouter._core import Endpoint
from fastrouter.tls.backends import backend_context

from .generations import Generations
from .http2_backend import H2cBackend, Http2Backend
from .http2_client import Http2Client, get
from .in_process import HOST
from .issuer import Issuer
from .nats_server import NatsServerProcess
from .raw_client import RawClient
from .tls_backend import Authority
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

OURS = Authority()
CONTEXTS = {
    "backend_tls": backend_context(ca_certs=[OURS.pem]),
    "backend_http2_tls": backend_context(ca_certs=[OURS.pem], protocols=("h2", "http/1.1")),
}
LARGE = bytes(range(256)) * 12_000
Start = Callable[..., FrontRouter]
Connect = Callable[..., Http2Client]


@pytest.fixture
def start(issuer: Issuer) -> Iterator[Start]:
    """Starts a router with HTTP/2 to clients over TLS, and to backends."""
    routers: list[FrontRouter] = []

    def start(*endpoints: Endpoint, **settings: Any) -> FrontRouter:
        tls = server_tls(issuer.pair(HOST), protocols=("h2", "http/1.1"))
        routers.append(FrontRouter(*endpoints, tls=tls, **{**CONTEXTS, **settings}))
        return routers[-1]

    yield start
    for router in routers:
        with router:
            pass


@pytest.fixture
def connect(issuer: Issuer) -> Iterator[Connect]:
    clients: list[Http2Client] = []

    def connect(router: FrontRouter, **options: Any) -> Http2Client:
        clients.append(Http2Client(TlsClient(router.port, client_context(issuer, protocols=("h2",))), **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def backend() -> Iterator[Http2Backend]:
    with Http2Backend(OURS) as backend:
        yield backend


@pytest.fixture
def router(start: Start, backend: Http2Backend) -> FrontRouter:
    return start(backend.endpoint())


@pytest.fixture
def client(router: FrontRouter, connect: Connect) -> Http2Client:
    return connect(router)


def marked(fields: Iterable[Any] | None) -> set[bytes]:
    """The names of those that are never to be indexed, as hpack says when it has decoded them."""
    return {field[0] for field in fields or () if not field.indexable}


class TestMessages:
    def test_a_request(self, client: Http2Client, backend: Http2Backend, router: FrontRouter) -> None:
        number = client.send_request(get(b"/a?b=c", (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x-a", b"1")))
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert (fields[b":method"], fields[b":scheme"]) == (b"GET", b"https")
        assert (fields[b":authority"], fields[b":path"]) == (HOST.encode(), b"/a?b=c")
        assert (fields[b"cookie"], fields[b"x-a"]) == (b"a=1; b=2", b"1")
        assert fields[b"x-forwarded-proto"] == b"https"
        peer.answer(stream)
        assert client.answer(number).body == b"ok"
        assert '"GET /a?b=c HTTP/2.0" 200 0 2 ' in router.wait_for_log_line()

    def test_trailers_both_ways(self, client: Http2Client, backend: Http2Backend) -> None:
        number = client.send_request(get(b"/", (b"te", b"trailers"), method=b"POST"), is_last=False)
        client.send_body(number, b"up", is_last=False)
        client.end(number, [(b"x-sum", b"2")])
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert fields[b"te"] == b"trailers"
        assert peer.read_trailers(stream) == [(b"x-sum", b"2")]
        assert peer.read_body(stream) == b"up"
        peer.send_head(stream)
        peer.send_data(stream, b"down")
        peer.send_trailers(stream, (b"x-sum", b"4"), (b"x-end", b"yes"))
        answer = client.answer(number)
        assert bytes(answer.body) == b"down"
        assert answer.trailers == [(b"x-sum", b"4"), (b"x-end", b"yes")]

    @pytest.mark.parametrize("announced", [(), ((b"trailer", b"x-sum"),)], ids=["", "announced"])
    @pytest.mark.parametrize("body", [b"", b"abc", LARGE], ids=len)
    def test_a_length_and_trailers(
        self, body: bytes, announced: tuple[Any, ...], client: Http2Client, backend: Http2Backend
    ) -> None:
        """As in Gorouter: in HTTP/2 one does not rule out the other."""
        number = client.send_request(get())
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"content-length", b"%d" % len(body)), *announced)

        def send() -> None:
            peer.send_data(stream, body)
            peer.send_trailers(stream, (b"x-sum", b"6"))

        sender = threading.Thread(target=send)
        sender.start()
        answer = client.answer(number)
        sender.join()
        assert answer.value(b"content-length") == b"%d" % len(body)
        assert (bytes(answer.body), answer.trailers) == (body, [(b"x-sum", b"6")])

    def test_fields_that_are_never_indexed_stay_so(self, client: Http2Client, backend: Http2Backend) -> None:
        """Whoever passes them on leaves the mark (RFC 7541 section 6.2.3), in heads and in trailers."""
        secret = [NeverIndexedHeaderTuple(b"x-secret", b"1"), (b"x-open", b"1"), (b"te", b"trailers")]
        number = client.send_request([*get(method=b"POST"), *secret], is_last=False)
        client.end(number, [NeverIndexedHeaderTuple(b"x-sum", b"1"), (b"x-end", b"1")])
        peer = backend.accept_http2()
        request = peer.wait_for(RequestReceived)
        stream = request.stream_id
        assert stream is not None
        assert marked(request.headers) == {b"x-secret"}
        assert marked(peer.wait_for(TrailersReceived, stream).headers) == {b"x-sum"}
        peer.h2.send_headers(stream, [(b":status", b"103"), NeverIndexedHeaderTuple(b"link", b"x"), (b"x-a", b"1")])
        peer.send_head(stream, NeverIndexedHeaderTuple(b"set-cookie", b"a=b"), (b"x-open", b"1"))
        peer.send_data(stream, b"down")
        peer.send_trailers(stream, NeverIndexedHeaderTuple(b"x-sum", b"4"), (b"x-end", b"yes"))
        answer = client.answer(number)
        assert marked(answer.interims[0]) == {b"link"}
        assert marked(answer.fields) == {b"set-cookie"}
        assert marked(answer.trailers) == {b"x-sum"}

    def test_an_end_behind_the_length(self, client: Http2Client, backend: Http2Backend) -> None:
        """END_STREAM comes by itself, later."""
        number = client.send_request(get())
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"content-length", b"3"))
        peer.send_data(stream, b"abc")
        client.wait_for(lambda: client.answers[number].body == b"abc")
        assert not client.answers[number].is_complete
        peer.send_data(stream, b"", is_last=True)
        answer = client.answer(number)
        assert (bytes(answer.body), answer.reset) == (b"abc", None)

    def test_trailers_only(self, client: Http2Client, backend: Http2Backend) -> None:
        number = client.send_request(get())
        peer = backend.accept_http2()
        peer.send_head(peer.read_request()[0], (b"grpc-status", b"5"), is_last=True)
        answer = client.answer(number)
        assert (answer.value(b"grpc-status"), bytes(answer.body), answer.trailers) == (b"5", b"", [])

    @pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
    def test_no_body(self, method: bytes, status: int, client: Http2Client, backend: Http2Backend) -> None:
        number = client.send_request(get(method=method))
        peer = backend.accept_http2()
        lines = ((b"content-length", b"7"),) if method == b"HEAD" else ()
        peer.send_head(peer.read_request()[0], *lines, status=status, is_last=True)
        answer = client.answer(number)
        assert (answer.status, bytes(answer.body), answer.reset) == (status, b"", None)
        assert dict(answer.fields).get(b"content-length") == (b"7" if method == b"HEAD" else None)

    def test_interim_responses(self, client: Http2Client, backend: Http2Backend) -> None:
        number = client.send_request(get(b"/", (b"expect", b"100-continue"), method=b"POST"), is_last=False)
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert fields[b"expect"] == b"100-continue"
        peer.send_head(stream, (b"link", b"</a>"), status=103)
        peer.send_head(stream, status=100)
        answer = client.answers[number]
        client.wait_for(lambda: len(answer.interims) == 2)
        assert [dict(fields)[b":status"] for fields in answer.interims] == [b"103", b"100"]
        client.send_body(number, b"body")
        assert peer.read_body(stream) == b"body"
        peer.answer(stream)
        assert client.answer(number).body == b"ok"

    def test_large_bodies_both_ways_at_once(self, client: Http2Client, backend: Http2Backend) -> None:
        """An echo, piece by piece."""
        number = client.send_request(get(b"/", (b"content-length", b"%d" % len(LARGE)), method=b"POST"), is_last=False)
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"content-length", b"%d" % len(LARGE)))
        for at in range(0, len(LARGE), 16_384):
            piece = LARGE[at : at + 16_384]
            client.send_body(number, piece, is_last=at + len(piece) == len(LARGE))
            peer.read_part(stream, len(piece))
            peer.send_data(stream, piece, is_last=at + len(piece) == len(LARGE))
            client.wait_for(lambda: len(client.answers[number].body) >= at + len(piece))  # noqa: B023 called at once
        answer = client.answer(number)
        assert bytes(answer.body) == LARGE

    def test_in_the_clear_on_both_sides(self) -> None:
        with (
            H2cBackend() as backend,
            FrontRouter(backend.endpoint(), takes_h2c=True) as router,
            Http2Client(router.connect()) as client,
        ):
            number = client.send_request(get(method=b"POST"), b"body")
            peer = backend.accept_http2()
            stream, fields = peer.read_request()
            assert (fields[b":scheme"], peer.read_body(stream)) == (b"http", b"body")
            peer.answer(stream)
            assert client.answer(number).body == b"ok"


class TestEndings:
    def test_a_client_that_resets_its_stream(
        self, client: Http2Client, backend: Http2Backend, router: FrontRouter
    ) -> None:
        gone, here = client.send_request(get(b"/gone", method=b"POST")), client.send_request(get(b"/here"))
        peer = backend.accept_http2()
        streams = {fields[b":path"]: stream for stream, fields in (peer.read_request(), peer.read_request())}
        client.reset(gone)
        assert peer.wait_for(StreamReset, streams[b"/gone"]).error_code == ErrorCodes.CANCEL
        assert '"POST /gone HTTP/2.0" 499 ' in router.wait_for_log_line()
        peer.answer(streams[b"/here"])
        assert client.answer(here).body == b"ok"

    def test_a_client_that_resets_it_in_the_response(
        self, client: Http2Client, backend: Http2Backend, router: FrontRouter
    ) -> None:
        number = client.send_request(get())
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"content-length", b"9"))
        peer.send_data(stream, b"some")
        client.wait_for(lambda: client.answers[number].body == b"some")
        client.reset(number)
        assert peer.wait_for(StreamReset, stream).error_code == ErrorCodes.CANCEL
        event = router.wait_for_event("client-conn-closed-during-response-streaming")
        assert (event["bytes_written"], event["total_size"]) == (4, 9)

    def test_a_client_that_leaves(self, client: Http2Client, backend: Http2Backend, router: FrontRouter) -> None:
        for _ in range(3):
            client.send_request(get(method=b"POST"))
        peer = backend.accept_http2()
        streams = {peer.read_request()[0] for _ in range(3)}
        client.close()
        for stream in streams:
            assert peer.wait_for(StreamReset, stream).error_code == ErrorCodes.CANCEL
        router.wait_for_log_line(2)
        assert all(" 499 " in line for line in router.log_lines())

    def test_a_reset_of_the_backend(self, client: Http2Client, backend: Http2Backend) -> None:
        number, other = client.send_request(get(b"/1")), client.send_request(get(b"/2"))
        peer = backend.accept_http2()
        streams = {fields[b":path"]: stream for stream, fields in (peer.read_request(), peer.read_request())}
        peer.reset(streams[b"/1"], ErrorCodes.INTERNAL_ERROR)
        assert client.answer(number).status == 502
        peer.answer(streams[b"/2"])
        assert client.answer(other).body == b"ok"

    @pytest.mark.parametrize("code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.REFUSED_STREAM])
    def test_a_reset_of_the_backend_in_its_response(
        self, code: ErrorCodes, client: Http2Client, backend: Http2Backend, router: FrontRouter
    ) -> None:
        """Whatever its code says: who has begun to answer has looked at it (RFC 9113 section 8.7)."""
        number, other = client.send_request(get(b"/1")), client.send_request(get(b"/2"))
        peer = backend.accept_http2()
        streams = {fields[b":path"]: stream for stream, fields in (peer.read_request(), peer.read_request())}
        peer.send_head(streams[b"/1"], (b"content-length", b"9"))
        peer.send_data(streams[b"/1"], b"some")
        peer.reset(streams[b"/1"], code)
        answer = client.answer(number)
        assert (bytes(answer.body), answer.reset) == (b"some", ErrorCodes.INTERNAL_ERROR)
        peer.answer(streams[b"/2"])
        assert client.answer(other).body == b"ok"
        assert not backend.has_pending_connection()
        assert router.stats()["dials"] == 1

    def test_a_refused_stream_goes_elsewhere_with_its_body(self, client: Http2Client, backend: Http2Backend) -> None:
        number = client.send_request(get(method=b"POST"), b"body")
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        assert peer.read_body(stream) == b"body"
        peer.reset(stream, ErrorCodes.REFUSED_STREAM)
        again, fields = peer.read_request()
        assert (fields[b":method"], peer.read_body(again)) == (b"POST", b"body")
        peer.answer(again)
        assert client.answer(number).body == b"ok"

    def test_a_response_before_the_end_of_the_request(self, client: Http2Client, backend: Http2Backend) -> None:
        number = client.send_request(get(method=b"POST"), is_last=False)
        client.send_body(number, b"some", is_last=False)
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.answer(stream)
        answer = client.answers[number]
        client.wait_for(lambda: answer.reset is not None)
        assert (bytes(answer.body), answer.is_complete, answer.reset) == (b"ok", True, ErrorCodes.NO_ERROR)
        assert peer.wait_for(StreamReset, stream).error_code == ErrorCodes.CANCEL

    def test_a_backend_that_takes_too_long(self, start: Start, connect: Connect, backend: Http2Backend) -> None:
        router = start(backend.endpoint(), http2_endpoint_timeout=0.1)
        client = connect(router)
        number = client.send_request(get())
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        assert client.answer(number).status == 502
        assert peer.wait_for(StreamReset, stream).error_code == ErrorCodes.CANCEL

    def test_a_stalled_stream_stalls_no_sibling(
        self, router: FrontRouter, connect: Connect, backend: Http2Backend
    ) -> None:
        """Neither of its client nor of its backend, though they share both connections."""
        client = connect(router, auto_window=False, settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        client.open_window(2**30)
        stalled = client.send_request(get(b"/stalled"))
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream)
        sender = threading.Thread(target=peer.send_until_blocked, args=(stream,))
        sender.start()
        client.wait_for(lambda: len(client.answers[stalled].body) == 1000)
        sender.join()
        number = client.send_request(get(b"/other"))
        other, _ = peer.read_request()
        peer.answer(other, b"x" * 1000)
        assert len(client.answer(number).body) == 1000
        assert len(client.answers[stalled].body) == 1000


class TestTheEndOfARouter:
    """Clients are told, their streams finish, and then backends are left, with a GOAWAY as well."""

    @pytest.fixture
    def app(self) -> Iterator[H2cBackend]:
        with H2cBackend() as app:
            yield app

    @pytest.fixture
    def routers(self, nats_server: NatsServerProcess, tmp_path: Path, app: H2cBackend) -> Iterator[Generations]:
        path = tmp_path / "routes.yml"
        endpoint = {"address": app.address, "protocol": "h2c"}
        path.write_text(yaml.safe_dump({"routes": [{"route": HOST, "endpoints": [endpoint]}]}))
        keys = {"enable_h2c": True, "disable_keep_alives": False}
        routers = Generations(tmp_path, nats_server, "-routes", str(path), **keys)
        yield routers
        routers.stop()

    @pytest.mark.parametrize("signal_number", [signal.SIGUSR1, signal.SIGUSR2])
    def test_streams_finish(self, signal_number: int, routers: Generations, app: H2cBackend) -> None:
        with Http2Client(RawClient(routers.port)) as client, Http2Client(RawClient(routers.port)) as idle:
            number = client.send_request(get(b"/under-way", method=b"POST"), is_last=False)
            peer = app.accept_http2()
            stream, _ = peer.read_request()
            other = idle.send_request(get(b"/over"))
            peer.answer(peer.read_request()[0])
            assert idle.answer(other).body == b"ok"
            if signal_number == signal.SIGUSR2:
                routers.upgrade()
            else:
                routers.first.send_signal(signal_number)
            client.wait_for(lambda: len(client.goaways) == 2)
            client.send_body(number, b"body")
            assert peer.read_body(stream) == b"body"
            assert not peer.has_seen(ConnectionTerminated)
            peer.answer(stream)
            assert client.answer(number).body == b"ok"
            client.wait_closed()
            idle.wait_closed()
            assert client.goaways == [(ErrorCodes.NO_ERROR, 2**31 - 1), (ErrorCodes.NO_ERROR, number)]
        assert peer.wait_for(ConnectionTerminated).error_code == ErrorCodes.NO_ERROR
        routers.wait_gone(routers.first.pid)
        if signal_number == signal.SIGUSR2:
            with Http2Client(RawClient(routers.port)) as client:
                number = client.send_request(get())
                peer = app.accept_http2()
                peer.answer(peer.read_request()[0])
                assert client.answer(number).body == b"ok"
