"""Sticky sessions of later Gorouters: `__VCAP_ID_META__` beside `__VCAP_ID__`, and any Max-Age (spec 9.3, N05, N06)."""

import re
import time

import pytest

from fastrouter._core import Endpoint, Settings

from .conversation import Conversation

SETTINGS = Settings(keeps_sticky_metadata=True)
NEVER = b"Thu, 01 Jan 2099 00:00:00 GMT"
NEVER_AT = 4070908800


def converse(cookie: bytes = b"", *set_cookies: bytes, settings: Settings = SETTINGS) -> Conversation:
    """One GET with this Cookie header, answered by the instance `one` with these Set-Cookie lines."""
    conversation = Conversation([Endpoint("10.0.0.1", 80, instance_id="one")], settings)
    conversation.from_client(
        b"GET / HTTP/1.1\r\nHost: app.test\r\n" + (b"Cookie: %s\r\n" % cookie if cookie else b"") + b"\r\n"
    )
    lines = b"".join(b"Set-Cookie: %s\r\n" % line for line in set_cookies)
    conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + lines + b"\r\n")
    return conversation


def issued(cookie: bytes = b"", *set_cookies: bytes, settings: Settings = SETTINGS) -> list[bytes]:
    """The router's own cookies in the response."""
    head = bytes(converse(cookie, *set_cookies, settings=settings).client.written).partition(b"\r\n\r\n")[0]
    return [line[12:] for line in head.split(b"\r\n") if line.startswith(b"Set-Cookie: __VCAP_ID_")]


class TestIssue:
    @pytest.mark.parametrize(
        ("given", "metadata", "attributes"),
        [
            (b"", b"", b"; HttpOnly"),
            (b"; Secure", b"secure", b"; HttpOnly; Secure"),
            (b"; Secure; Partitioned", b"secure&partitioned", b"; HttpOnly; Secure; Partitioned"),
            (b"; SameSite=None", b"samesite=none", b"; HttpOnly; SameSite=None"),
            (b"; Expires=" + NEVER, b"expires=%d" % NEVER_AT, b"; Expires=" + NEVER + b"; HttpOnly"),
            (b"; Max-Age=0", b"maxage=-1", b"; Max-Age=0; HttpOnly"),
            (b"; Max-Age=-7", b"maxage=-1", b"; Max-Age=0; HttpOnly"),
            (
                b"; samesite=LAX; expires=" + NEVER + b"; secure",
                b"secure&expires=%d&samesite=lax" % NEVER_AT,
                b"; Expires=" + NEVER + b"; HttpOnly; Secure; SameSite=Lax",
            ),
        ],
    )
    def test_both_cookies_have_the_attributes_of_the_session(
        self, given: bytes, metadata: bytes, attributes: bytes
    ) -> None:
        assert issued(b"", b"JSESSIONID=1" + given) == [
            b"__VCAP_ID__=one; Path=/" + attributes,
            b"__VCAP_ID_META__=" + metadata + b"; Path=/" + attributes,
        ]

    def test_a_positive_age_is_copied_and_its_end_remembered(self) -> None:
        before = int(time.time())
        cookie, metadata = issued(b"", b"JSESSIONID=1; Max-Age=3600")
        after = int(time.time())
        assert cookie == b"__VCAP_ID__=one; Path=/; Max-Age=3600; HttpOnly"
        found = re.fullmatch(rb"__VCAP_ID_META__=maxage=(\d+); Path=/; Max-Age=3600; HttpOnly", metadata)
        assert found is not None
        assert before + 3600 <= int(found[1]) <= after + 3600

    @pytest.mark.parametrize("age", [b"", b"x", b"007", b"1e3", b"9" * 19])
    def test_what_is_no_age_is_not_copied(self, age: bytes) -> None:
        cookie, _ = issued(b"", b"JSESSIONID=1; Max-Age=" + age)
        assert cookie == b"__VCAP_ID__=one; Path=/; HttpOnly"

    def test_every_session_cookie_has_its_pair(self) -> None:
        cookies = issued(b"", b"JSESSIONID=1; Secure; Partitioned", b"other=1", b"JSESSIONID=1; Secure")
        assert [cookie.partition(b";")[0] for cookie in cookies] == [
            b"__VCAP_ID__=one",
            b"__VCAP_ID_META__=secure&partitioned",
            b"__VCAP_ID__=one",
            b"__VCAP_ID_META__=secure",
        ]

    def test_names_may_have_the_host_prefix(self) -> None:
        assert len(issued(b"", b"__Host-JSESSIONID=1; Secure; Path=/")) == 2
        assert issued(b"__Host-JSESSIONID=1; __VCAP_ID__=gone; __VCAP_ID_META__=secure") == [
            b"__VCAP_ID__=one; Path=/; HttpOnly; Secure"
        ]
        assert issued(b"", b"__Host-=1; Secure; Path=/") == []

    def test_an_app_that_manages_affinity_itself_is_left_alone(self) -> None:
        assert issued(b"", b"JSESSIONID=1", b"__VCAP_ID__=mine") == [b"__VCAP_ID__=mine"]

    def test_negotiate_has_no_metadata(self) -> None:
        settings = Settings(keeps_sticky_metadata=True, sticky_for_negotiate=True)
        conversation = Conversation([Endpoint("10.0.0.1", 80, instance_id="one")], settings)
        conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        conversation.from_backend(
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nSet-Cookie: JSESSIONID=1\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        assert (
            b"Set-Cookie: __VCAP_ID__=one; Path=/; Max-Age=60; HttpOnly; SameSite=Strict\r\n"
            in conversation.client.written
        )
        assert b"__VCAP_ID_META__" not in conversation.client.written


class TestReissue:
    """The instance of the cookie is gone, and the app sets no session cookie: only `__VCAP_ID__` is set again."""

    STALE = b"JSESSIONID=1; __VCAP_ID__=gone"

    @pytest.mark.parametrize(
        ("metadata", "attributes"),
        [
            (b"secure", b"; HttpOnly; Secure"),
            (b"secure&partitioned&samesite=none", b"; HttpOnly; Secure; SameSite=None; Partitioned"),
            (b"expires=%d" % NEVER_AT, b"; Expires=" + NEVER + b"; HttpOnly"),
            (b"maxage=-1", b"; Max-Age=0; HttpOnly"),
            (b"maxage=1000000000", b"; Max-Age=0; HttpOnly"),
            (b'"samesite=lax"', b"; HttpOnly; SameSite=Lax"),
        ],
    )
    def test_attributes_are_restored(self, metadata: bytes, attributes: bytes) -> None:
        assert issued(self.STALE + b"; __VCAP_ID_META__=" + metadata) == [b"__VCAP_ID__=one; Path=/" + attributes]

    def test_what_is_left_of_an_age(self) -> None:
        (cookie,) = issued(self.STALE + b"; __VCAP_ID_META__=maxage=%d" % (time.time() + 1000))
        found = re.fullmatch(rb"__VCAP_ID__=one; Path=/; Max-Age=(\d+); HttpOnly", cookie)
        assert found is not None
        assert 900 < int(found[1]) <= 1000

    def test_secure_by_configuration(self) -> None:
        settings = Settings(keeps_sticky_metadata=True, secure_cookies=True)
        assert issued(self.STALE + b"; __VCAP_ID_META__=samesite=lax", settings=settings) == [
            b"__VCAP_ID__=one; Path=/; HttpOnly; Secure; SameSite=Lax"
        ]

    def test_without_metadata(self) -> None:
        conversation = converse(self.STALE)
        assert b"Set-Cookie: __VCAP_ID__=one; Path=/; HttpOnly\r\n" in conversation.client.written
        assert [message for _, message, _ in conversation.events] == ["vcap-id-meta-cookie-not-found"]

    @pytest.mark.parametrize(
        "metadata",
        [b"x", b"secure=1", b"maxage=", b"maxage=-2", b"maxage=01", b"expires=" + b"9" * 18, b"samesite=Lax", b"&"],
    )
    def test_metadata_that_cannot_be_read(self, metadata: bytes) -> None:
        conversation = converse(self.STALE + b"; __VCAP_ID_META__=" + metadata)
        assert b"Set-Cookie: __VCAP_ID__=one; Path=/; HttpOnly\r\n" in conversation.client.written
        assert [message for _, message, _ in conversation.events] == ["vcap-id-meta-cookie-parse-error"]

    def test_the_right_instance_needs_no_cookie(self) -> None:
        assert issued(b"JSESSIONID=1; __VCAP_ID__=one; __VCAP_ID_META__=secure") == []


def test_a_client_sticks_on_every_attempt() -> None:
    endpoints = [Endpoint("10.0.0.1", 80 + number, instance_id=str(number)) for number in range(4)]
    for settings, attempts in ((SETTINGS, {82}), (Settings(), {80, 81, 82, 83})):
        asked = set()
        for _ in range(60):
            conversation = Conversation(endpoints, settings)
            conversation.loop.refusing = {("10.0.0.1", 82)}
            conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\nCookie: JSESSIONID=1; __VCAP_ID__=2\r\n\r\n")
            assert conversation.loop.attempted[0] == ("10.0.0.1", 82)
            asked |= {port for _, port in conversation.loop.attempted}
        assert asked == attempts


class TestBounds:
    """Of metadata only as much is looked at as the router's own can have."""

    def test_metadata_of_a_request(self) -> None:
        cookie = b"JSESSIONID=1; __VCAP_ID__=gone; __VCAP_ID_META__="
        # 256 bytes, and 257 of the same meaning.
        whole, too_long = b"secure&" * 34 + b"partitioned&secure", b"secure&" * 29 + b"partitioned&" * 4 + b"secure"
        assert (len(whole), len(too_long)) == (256, 257)
        assert issued(cookie + whole) == [b"__VCAP_ID__=one; Path=/; HttpOnly; Secure; Partitioned"]
        assert issued(cookie + too_long) == [b"__VCAP_ID__=one; Path=/; HttpOnly"]

    def test_session_cookies_of_a_response(self) -> None:
        assert len(issued(b"", *[b"JSESSIONID=%d" % number for number in range(20)])) == 2 * 16
