"""Sticky sessions: who is asked, and the cookie that says who answered, byte for byte (spec 5.3, Y01-Y11)."""

import pytest

from fastrouter._core import Endpoint, Settings

from .conversation import Conversation

IDS = ("one", "two", "three")
NEGOTIATE = Settings(sticky_for_negotiate=True)
SECURE = Settings(secure_cookies=True)


def endpoints(ids: tuple[str, ...] = IDS) -> list[Endpoint]:
    return [Endpoint("10.0.0.1", 8000 + number, instance_id=identity) for number, identity in enumerate(ids)]


def ask(
    *lines: bytes,
    settings: Settings | None = None,
    ids: tuple[str, ...] = IDS,
    uri: str = "app.test",
    answer: tuple[bytes, ...] = (),
) -> Conversation:
    """One GET with these header lines, answered with 200 and the header lines `answer`."""
    conversation = Conversation([Endpoint("10.9.9.9", 1)], settings)
    conversation.table.unregister("app.test", "10.9.9.9:1")
    for endpoint in endpoints(ids):
        conversation.table.register(uri, endpoint)
    path = uri.partition("/")[2].lower().encode()
    conversation.from_client(
        b"GET /%s HTTP/1.1\r\nHost: app.test\r\n" % path + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    )
    if conversation.loop.dialled:
        conversation.from_backend(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"".join(line + b"\r\n" for line in answer) + b"\r\n"
        )
    return conversation


def served_by(conversation: Conversation) -> str:
    """The instance that was asked."""
    _, port = conversation.backend.get_extra_info("peername")
    return IDS[port - 8000]


def all_served_by(*lines: bytes, settings: Settings | None = None) -> set[str]:
    """The instances that a request with these lines may go to: chance has 80 tries to show each of three."""
    return {served_by(ask(*lines, settings=settings)) for _ in range(80)}


def issued(conversation: Conversation) -> bytes | None:
    """What the client gets as Set-Cookie beyond what the app has sent, without the name of the header."""
    head = bytes(conversation.client.written).partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    lines = [line.removeprefix(b"Set-Cookie: ") for line in head.split(b"\r\n") if line.startswith(b"Set-Cookie: ")]
    found = [line for line in lines if line.startswith(b"__VCAP_ID__=")]
    assert len(found) <= 1
    return found[0] if found else None


def issued_for(*set_cookies: bytes, settings: Settings | None = None, uri: str = "app.test") -> bytes | None:
    """The cookie that goes with an app's cookies, from an instance named `one`, for a request that had none."""
    lines = tuple(b"Set-Cookie: " + cookie for cookie in set_cookies)
    return issued(ask(settings=settings, ids=("one",), uri=uri, answer=lines))


class TestRequest:
    """Y02, Y03, Y07: which requests go to the instance they name."""

    @pytest.mark.parametrize("identity", IDS)
    def test_session_and_id_choose_the_instance(self, identity: str) -> None:
        assert all_served_by(b"Cookie: JSESSIONID=x; __VCAP_ID__=" + identity.encode()) == {identity}

    @pytest.mark.parametrize(
        "lines",
        [
            (b"Cookie: __VCAP_ID__=two; JSESSIONID=x",),
            (b"Cookie: a=b; JSESSIONID=x; c=d; __VCAP_ID__=two; e=f",),
            (b"Cookie: JSESSIONID=x", b"Cookie: __VCAP_ID__=two"),
            (b"Cookie: __VCAP_ID__=two", b"Cookie: JSESSIONID=x"),
            (b"Cookie: JSESSIONID=x;__VCAP_ID__=two",),
            (b"Cookie:  JSESSIONID=x ;  __VCAP_ID__=two ",),
            (b'Cookie: JSESSIONID="x"; __VCAP_ID__="two"',),
            (b"Cookie: JSESSIONID=; __VCAP_ID__=two",),
            # The first one of a name counts.
            (b"Cookie: JSESSIONID=x; __VCAP_ID__=two; __VCAP_ID__=three",),
            (b"Cookie: JSESSIONID=x; __VCAP_ID__=two", b"Cookie: __VCAP_ID__=three"),
            # An address is as good as an id (spec 3.4).
            (b"Cookie: JSESSIONID=x; __VCAP_ID__=10.0.0.1:8001",),
            (b"Cookie: ; ;=;x;JSESSIONID=x; __VCAP_ID__=two",),
        ],
    )
    def test_however_the_cookies_are_written(self, lines: tuple[bytes, ...]) -> None:
        assert all_served_by(*lines) == {"two"}

    @pytest.mark.parametrize(
        "lines",
        [
            (b"Cookie: __VCAP_ID__=two",),
            (b"Cookie: JSESSIONID=x",),
            (b"Cookie: JSESSIONID=x; __VCAP_ID__=",),
            (b"Cookie: JSESSIONID=x; __VCAP_ID__=gone",),
            (b"Cookie: OTHER=x; __VCAP_ID__=two",),
            # Names of cookies have case.
            (b"Cookie: jsessionid=x; __VCAP_ID__=two",),
            (b"Cookie: JSESSIONID=x; __vcap_id__=two",),
            (b"Cookie: XJSESSIONID=x; __VCAP_ID__=two",),
            (b"X-Cookie: JSESSIONID=x; __VCAP_ID__=two",),
            # Negotiate counts where it is configured only.
            (b"Authorization: Negotiate abc", b"Cookie: __VCAP_ID__=two"),
        ],
    )
    def test_nothing_less_does(self, lines: tuple[bytes, ...]) -> None:
        assert all_served_by(*lines) == set(IDS)

    def test_other_names_by_configuration(self) -> None:
        custom = Settings(sticky_cookie_names=["SID", "other_session"])
        for name in (b"SID", b"other_session"):
            assert all_served_by(b"Cookie: %s=x; __VCAP_ID__=two" % name, settings=custom) == {"two"}
        assert all_served_by(b"Cookie: JSESSIONID=x; __VCAP_ID__=two", settings=custom) == set(IDS)

    def test_no_names_no_sessions(self) -> None:
        nobody = Settings(sticky_cookie_names=[])
        assert all_served_by(b"Cookie: JSESSIONID=x; __VCAP_ID__=two", settings=nobody) == set(IDS)

    def test_cookies_go_on_as_they_are(self) -> None:
        conversation = ask(b'Cookie: JSESSIONID="x";  __VCAP_ID__=two')
        assert b'\r\nCookie: JSESSIONID="x";  __VCAP_ID__=two\r\n' in conversation.backend.written

    @pytest.mark.parametrize("scheme", [b"Negotiate", b"negotiate", b"NEGOTIATE abc", b"NegotiateX"])
    def test_negotiate_needs_no_session(self, scheme: bytes) -> None:
        lines = (b"Authorization: " + scheme, b"Cookie: __VCAP_ID__=two")
        assert all_served_by(*lines, settings=NEGOTIATE) == {"two"}

    @pytest.mark.parametrize("scheme", [b"Basic abc", b"Bearer negotiate", b""])
    def test_other_schemes_do(self, scheme: bytes) -> None:
        lines = (b"Authorization: " + scheme, b"Cookie: __VCAP_ID__=two")
        assert all_served_by(*lines, settings=NEGOTIATE) == set(IDS)

    def test_negotiated_instance_that_is_gone_is_no_endpoint(self) -> None:
        conversation = ask(b"Authorization: Negotiate", b"Cookie: __VCAP_ID__=gone", settings=NEGOTIATE)
        assert not conversation.loop.dialled
        assert conversation.client.written.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert b"X-Cf-Routererror: endpoint_failure (No endpoints available)\r\n" in conversation.client.written
        ((level, message, data),) = conversation.events
        assert (level, message) == (3, "select-endpoint-failed")
        assert (data["host"], data["error"]) == ("app.test", "No endpoints available")

    def test_negotiate_without_an_id_goes_anywhere(self) -> None:
        assert all_served_by(b"Authorization: Negotiate", settings=NEGOTIATE) == set(IDS)

    def test_negotiate_comes_before_the_session(self) -> None:
        # With a session alone the request would go to another instance.
        lines = (b"Authorization: Negotiate", b"Cookie: JSESSIONID=x; __VCAP_ID__=gone")
        assert not ask(*lines, settings=NEGOTIATE).loop.dialled


class TestIssue:
    """Y01, Y06, Y08-Y10: the cookie that goes with an app's session cookie."""

    @pytest.mark.parametrize(
        ("cookie", "expected"),
        [
            (b"JSESSIONID=x", b"; HttpOnly"),
            (b"JSESSIONID=", b"; HttpOnly"),
            (b"JSESSIONID=x; Path=/other; Domain=app.test; HttpOnly", b"; HttpOnly"),
            (b"JSESSIONID=x; Secure", b"; HttpOnly; Secure"),
            (b"JSESSIONID=x;secure", b"; HttpOnly; Secure"),
            (b"JSESSIONID=x; SameSite=Strict", b"; HttpOnly; SameSite=Strict"),
            (b"JSESSIONID=x; samesite=lax", b"; HttpOnly; SameSite=Lax"),
            (b"JSESSIONID=x; SameSite=NONE", b"; HttpOnly; SameSite=None"),
            (b"JSESSIONID=x; SameSite=other", b"; HttpOnly"),
            (b"JSESSIONID=x; Partitioned", b"; HttpOnly; Partitioned"),
            # A positive age is the app's own; a deletion is shared.
            (b"JSESSIONID=x; Max-Age=3600", b"; HttpOnly"),
            (b"JSESSIONID=x; Max-Age=0", b"; Max-Age=0; HttpOnly"),
            (b"JSESSIONID=x; Max-Age=-1", b"; Max-Age=0; HttpOnly"),
            (b"JSESSIONID=x; max-age=-3600", b"; Max-Age=0; HttpOnly"),
            (b"JSESSIONID=x; Max-Age=soon", b"; HttpOnly"),
            # In the order in which Go writes them, whatever the app's.
            (
                b"JSESSIONID=x; Partitioned; SameSite=None; Secure; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                b"; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Secure; SameSite=None; Partitioned",
            ),
        ],
    )
    def test_attributes(self, cookie: bytes, expected: bytes) -> None:
        assert issued_for(cookie) == b"__VCAP_ID__=one; Path=/" + expected

    @pytest.mark.parametrize(
        ("identity", "value"),
        [
            ("a.b-c_d/e=f", b"a.b-c_d/e=f"),
            # No value may have these: whatever comes behind them would pass for attributes, or for nothing at all.
            ("a; Domain=b.test", b'"a Domain=b.test"'),
            ('a"b\\c;d', b"abcd"),
            (';"\\', b""),
            ("a b", b'"a b"'),
            ("a,b", b'"a,b"'),
            (" ;", b'" "'),
        ],
    )
    def test_odd_ids_are_written_as_go_does(self, identity: str, value: bytes) -> None:
        conversation = ask(ids=(identity,), answer=(b"Set-Cookie: JSESSIONID=x",))
        assert issued(conversation) == b"__VCAP_ID__=%s; Path=/; HttpOnly" % value

    @pytest.mark.parametrize("identity", ["a b", "a,b"])
    def test_odd_ids_that_are_quoted_are_understood(self, identity: str) -> None:
        cookie = b'Cookie: JSESSIONID=x; __VCAP_ID__="%s"' % identity.encode()
        asked = {ask(cookie, ids=("one", identity)).backend.get_extra_info("peername")[1] for _ in range(40)}
        assert asked == {8001}

    @pytest.mark.parametrize(
        "cookie", [b"JSESSIONID", b"JSESSIONID; Secure", b"JSESSIONID=\xc3\xa4", b'JSESSIONID="', b"JSESSIONID=a\\"]
    )
    def test_what_go_does_not_read_as_a_cookie(self, cookie: bytes) -> None:
        assert issued_for(cookie) is None

    @pytest.mark.parametrize(
        ("expires", "expected"),
        [
            (b"Wed, 21 Oct 2026 07:28:00 GMT", b"Wed, 21 Oct 2026 07:28:00 GMT"),
            (b"Wed, 21-Oct-2026 07:28:00 GMT", b"Wed, 21 Oct 2026 07:28:00 GMT"),
            (b"Wed, 21 Oct 2026 07:28:00 UTC", b"Wed, 21 Oct 2026 07:28:00 GMT"),
            (b"Fri, 31 Dec 1999 23:59:59 GMT", b"Fri, 31 Dec 1999 23:59:59 GMT"),
        ],
    )
    def test_expires_is_rewritten(self, expires: bytes, expected: bytes) -> None:
        assert issued_for(b"JSESSIONID=x; Expires=" + expires) == (
            b"__VCAP_ID__=one; Path=/; Expires=" + expected + b"; HttpOnly"
        )

    @pytest.mark.parametrize("expires", [b"", b"0", b"tomorrow", b"Wed, 21 Oct 2026", b"2026-10-21T07:28:00Z"])
    def test_unreadable_expires_is_left_out(self, expires: bytes) -> None:
        assert issued_for(b"JSESSIONID=x; Expires=" + expires) == b"__VCAP_ID__=one; Path=/; HttpOnly"

    def test_first_session_cookie_counts(self) -> None:
        cookies = (b"other=1; SameSite=Strict", b"JSESSIONID=x; Secure", b"JSESSIONID=y; Partitioned")
        assert issued_for(*cookies) == b"__VCAP_ID__=one; Path=/; HttpOnly; Secure"

    @pytest.mark.parametrize("cookie", [b"other=1", b"jsessionid=x", b"XJSESSIONID=x", b"JSESSIONIDX=x"])
    def test_other_cookies_are_none(self, cookie: bytes) -> None:
        assert issued_for(cookie) is None

    def test_other_names_by_configuration(self) -> None:
        custom = Settings(sticky_cookie_names=["SID"])
        assert issued_for(b"SID=x", settings=custom) == b"__VCAP_ID__=one; Path=/; HttpOnly"
        assert issued_for(b"JSESSIONID=x", settings=custom) is None

    @pytest.mark.parametrize(
        ("uri", "path"),
        [("app.test", b"/"), ("app.test/ctx", b"/ctx"), ("app.test/Context/Path", b"/Context/Path")],
    )
    def test_path_is_the_routes_as_registered(self, uri: str, path: bytes) -> None:
        assert issued_for(b"JSESSIONID=x", uri=uri) == b"__VCAP_ID__=one; Path=%s; HttpOnly" % path

    @pytest.mark.parametrize(
        ("cookie", "expected"),
        [
            (b"JSESSIONID=x", b"; HttpOnly; Secure"),
            (b"JSESSIONID=x; Secure", b"; HttpOnly; Secure"),
            (b"JSESSIONID=x; SameSite=Lax; Max-Age=-1", b"; Max-Age=0; HttpOnly; Secure; SameSite=Lax"),
        ],
    )
    def test_secure_by_configuration(self, cookie: bytes, expected: bytes) -> None:
        assert issued_for(cookie, settings=SECURE) == b"__VCAP_ID__=one; Path=/" + expected

    def test_the_apps_cookies_stay_and_come_first(self) -> None:
        conversation = ask(ids=("one",), answer=(b"Set-Cookie: JSESSIONID=x; Max-Age=5", b"Set-Cookie: a=b"))
        lines = bytes(conversation.client.written).split(b"\r\n")
        assert [line.removeprefix(b"Set-Cookie: ") for line in lines if line.startswith(b"Set-Cookie")] == [
            b"JSESSIONID=x; Max-Age=5",
            b"a=b",
            b"__VCAP_ID__=one; Path=/; HttpOnly",
        ]

    def test_endpoint_without_an_id_gives_none(self) -> None:
        assert issued(ask(ids=("",), answer=(b"Set-Cookie: JSESSIONID=x",))) is None

    @pytest.mark.parametrize(
        "status", [b"404 Not Found", b"302 Found", b"500 Internal Server Error", b"304 Not Modified"]
    )
    def test_goes_with_every_status(self, status: bytes) -> None:
        conversation = Conversation(endpoints(("one",)))
        conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        conversation.from_backend(
            b"HTTP/1.1 %s\r\nContent-Length: 0\r\nSet-Cookie: JSESSIONID=x\r\n\r\n" % status,
        )
        assert b"\r\nSet-Cookie: __VCAP_ID__=one; Path=/; HttpOnly\r\n" in conversation.client.written

    def test_goes_with_the_response_of_the_instance_that_served(self) -> None:
        conversation = ask(
            b"Cookie: JSESSIONID=x; __VCAP_ID__=two", answer=(b"Set-Cookie: JSESSIONID=y; SameSite=Lax",)
        )
        # Also when the client has it already: its attributes may be new.
        assert issued(conversation) == b"__VCAP_ID__=two; Path=/; HttpOnly; SameSite=Lax"


class TestReissue:
    """Y04: the id of an instance that is gone is replaced."""

    @pytest.mark.parametrize(
        ("settings", "expected"), [(None, b"; Path=/; HttpOnly"), (SECURE, b"; Path=/; HttpOnly; Secure")]
    )
    def test_stale_id(self, settings: Settings | None, expected: bytes) -> None:
        conversation = ask(b"Cookie: JSESSIONID=x; __VCAP_ID__=gone", settings=settings)
        assert issued(conversation) == b"__VCAP_ID__=" + served_by(conversation).encode() + expected

    def test_stale_id_beside_a_new_session(self) -> None:
        conversation = ask(
            b"Cookie: JSESSIONID=x; __VCAP_ID__=gone", ids=("one",), answer=(b"Set-Cookie: JSESSIONID=y; Secure",)
        )
        assert issued(conversation) == b"__VCAP_ID__=one; Path=/; HttpOnly; Secure"

    @pytest.mark.parametrize(
        "line",
        [
            b"Cookie: JSESSIONID=x; __VCAP_ID__=two",
            b"Cookie: JSESSIONID=x",
            b"Cookie: __VCAP_ID__=gone",
            b"Accept: */*",
        ],
    )
    def test_nothing_without_need(self, line: bytes) -> None:
        assert issued(ask(line)) is None

    def test_address_becomes_an_id(self) -> None:
        # The id of the served instance is not what the client sent, though both mean the same endpoint.
        conversation = ask(b"Cookie: JSESSIONID=x; __VCAP_ID__=10.0.0.1:8001")
        assert issued(conversation) == b"__VCAP_ID__=two; Path=/; HttpOnly"


class TestAppOwned:
    """Y05: an app that sets `__VCAP_ID__` itself is left alone."""

    @pytest.mark.parametrize(
        "lines",
        [
            (b"Set-Cookie: __VCAP_ID__=mine; Path=/x",),
            (b"Set-Cookie: JSESSIONID=x", b"Set-Cookie: __VCAP_ID__=mine; Path=/x"),
            (b"Set-Cookie: __VCAP_ID__=mine; Path=/x", b"Set-Cookie: JSESSIONID=x"),
            (b"Set-Cookie: __VCAP_ID__=mine; Path=/x", b"Www-Authenticate: Negotiate"),
        ],
    )
    def test_untouched(self, lines: tuple[bytes, ...]) -> None:
        conversation = ask(b"Cookie: JSESSIONID=x; __VCAP_ID__=gone", settings=NEGOTIATE, answer=lines)
        assert issued(conversation) == b"__VCAP_ID__=mine; Path=/x"


class TestNegotiate:
    """Y11: the response side."""

    @pytest.mark.parametrize("challenge", [b"Negotiate", b"negotiate abc", b"NEGOTIATE"])
    @pytest.mark.parametrize(
        ("settings", "secure"),
        [(NEGOTIATE, b""), (Settings(sticky_for_negotiate=True, secure_cookies=True), b"; Secure")],
    )
    def test_challenge_issues_a_minute(self, challenge: bytes, settings: Settings, secure: bytes) -> None:
        conversation = ask(settings=settings, ids=("one",), answer=(b"WWW-Authenticate: " + challenge,))
        assert issued(conversation) == b"__VCAP_ID__=one; Path=/; Max-Age=60; HttpOnly%s; SameSite=Strict" % secure

    def test_not_unless_configured(self) -> None:
        assert issued(ask(ids=("one",), answer=(b"WWW-Authenticate: Negotiate",))) is None

    @pytest.mark.parametrize("challenge", [b"Basic realm=x", b"Kerberos negotiate"])
    def test_not_for_other_challenges(self, challenge: bytes) -> None:
        assert issued(ask(settings=NEGOTIATE, ids=("one",), answer=(b"WWW-Authenticate: " + challenge,))) is None

    def test_comes_before_the_attributes_of_a_session(self) -> None:
        lines = (b"WWW-Authenticate: Negotiate", b"Set-Cookie: JSESSIONID=x; Secure; Partitioned")
        assert issued(ask(settings=NEGOTIATE, ids=("one",), answer=lines)) == (
            b"__VCAP_ID__=one; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"
        )

    def test_not_again_for_who_has_it(self) -> None:
        lines = (b"Authorization: Negotiate abc", b"Cookie: __VCAP_ID__=two")
        conversation = ask(*lines, settings=NEGOTIATE, answer=(b"WWW-Authenticate: Negotiate",))
        assert served_by(conversation) == "two"
        assert issued(conversation) is None


class TestSelection:
    """What affinity overrides, and what it does not (spec 5.2.1)."""

    def test_context_paths_have_affinities_of_their_own(self) -> None:
        conversation = Conversation([Endpoint("10.0.0.1", 1, instance_id="root")])
        conversation.table.register("app.test/ctx", Endpoint("10.0.0.1", 2, instance_id="context"))
        conversation.from_client(
            b"GET /ctx HTTP/1.1\r\nHost: app.test\r\nCookie: JSESSIONID=x; __VCAP_ID__=root\r\n\r\n"
        )
        assert conversation.backend.get_extra_info("peername") == ("10.0.0.1", 2)
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert issued(conversation) == b"__VCAP_ID__=context; Path=/ctx; HttpOnly"

    def test_zone_and_algorithm_do_not_matter(self) -> None:
        elsewhere = Settings(az_preference="locally-optimistic", zone="z9", balancing_algorithm="least-connection")
        assert all_served_by(b"Cookie: JSESSIONID=x; __VCAP_ID__=two", settings=elsewhere) == {"two"}


def test_a_switch_of_protocols_brings_the_cookie_as_well() -> None:
    conversation = Conversation([Endpoint("10.0.0.1", 80, instance_id="one")])
    conversation.from_client(
        b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n"
        b"Cookie: JSESSIONID=1; __VCAP_ID__=gone\r\n\r\n"
    )
    conversation.from_backend(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
    written = bytes(conversation.client.written)
    assert written.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSet-Cookie: __VCAP_ID__=one; Path=/; HttpOnly\r\n" in written


class TestBounds:
    """Of a cookie only as much is looked at as a right one can have."""

    def test_cookies_of_a_request(self) -> None:
        session_and_id = b"JSESSIONID=x; __VCAP_ID__=two"
        assert all_served_by(b"Cookie: " + b"a=b; " * 998 + session_and_id) == {"two"}
        assert all_served_by(b"Cookie: " + b"a=b; " * 999 + session_and_id) == set(IDS)

    @pytest.mark.parametrize("form", [b"%s", b'"%s"'])
    def test_the_longest_id(self, form: bytes) -> None:
        identity = "i" * 1024
        cookie = b"Cookie: JSESSIONID=x; __VCAP_ID__="
        assert issued(ask(cookie + form % identity.encode(), ids=(identity,))) is None
        # Who is not found gets a cookie that says where it went instead.
        assert issued(ask(cookie + form % (identity.encode() + b"i"), ids=(identity,))) is not None

    def test_a_set_cookie(self) -> None:
        line = b"JSESSIONID=" + b"x" * (8192 - len("JSESSIONID=; Secure")) + b"; Secure"
        assert issued_for(line) == b"__VCAP_ID__=one; Path=/; HttpOnly; Secure"
        assert issued_for(line + b" ") is not None, "blanks at the end are no part of it"
        assert issued_for(b"y" + line) is None
        assert issued_for(line.replace(b"=x", b"=xx")) is None

    def test_attributes_of_a_set_cookie(self) -> None:
        assert issued_for(b"JSESSIONID=x" + b"; a" * 15 + b"; Secure") == b"__VCAP_ID__=one; Path=/; HttpOnly; Secure"
        assert issued_for(b"JSESSIONID=x" + b"; a" * 16 + b"; Secure") == b"__VCAP_ID__=one; Path=/; HttpOnly"

    @pytest.mark.parametrize(("blanks", "is_read"), [(64 - 29, True), (65 - 29, False)])
    def test_a_date(self, blanks: int, is_read: bool) -> None:
        date = b"Thu, 01 Jan 2099 00:00:00 GMT"
        assert len(date) == 29
        cookie = issued_for(b"JSESSIONID=x; Expires=" + date.replace(b" 2099", b" " * blanks + b" 2099"))
        assert cookie is not None
        assert (b"Expires=Thu, 01 Jan 2099" in cookie) == is_read
