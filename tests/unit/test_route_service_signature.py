import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import gorouter_signature
from fastrouter.route_services.signature import RouteServiceSigner, SignatureError, derive_key

KEY = derive_key("rs-secret")
OTHER_KEY = derive_key("older secret")
URL = "https://app.test/path?a=1&b=<2>"
# 2026-02-03T04:05:06.120000000Z
NOW = 1_770_091_506_120_000_000


def signer(now: int = NOW, **kwargs: Any) -> RouteServiceSigner:
    return RouteServiceSigner(KEY, **{"lifetime": 60.0, "clock_ns": lambda: now, **kwargs})


def refusal(signer: RouteServiceSigner, signature: bytes, metadata: bytes) -> SignatureError:
    with pytest.raises(SignatureError) as caught:
        signer.validate(signature, metadata)
    return caught.value


def sealed(contents: object, key: bytes = KEY) -> tuple[bytes, bytes]:
    return gorouter_signature.seal(key, json.dumps(contents).encode())


def contents_at(time: str) -> dict[str, str]:
    return {"forwarded_url": URL, "requested_time": time}


class TestFormat:
    def test_the_key_is_that_of_an_independent_implementation(self) -> None:
        assert derive_key("rs-secret") == gorouter_signature.key_of("rs-secret")
        assert len(KEY) == 16

    def test_ours_is_read_by_an_independent_implementation(self) -> None:
        assert gorouter_signature.unseal(KEY, *signer().sign(URL)) == {
            "forwarded_url": URL,
            "requested_time": "2026-02-03T04:05:06.12Z",
        }

    def test_that_of_an_independent_implementation_is_accepted(self) -> None:
        at = datetime(2026, 2, 3, 4, 4, 30, tzinfo=UTC)
        assert signer().validate(*gorouter_signature.sign(KEY, URL, at=at)) == URL

    def test_it_is_encoded_as_go_does(self) -> None:
        signature, metadata = signer().sign("https://a.test/?x=<&>\u2028é")
        nonce = base64.b64decode(json.loads(base64.urlsafe_b64decode(metadata))["nonce"])
        assert len(nonce) == 12
        assert gorouter_signature.seal(
            KEY,
            b'{"forwarded_url":"https://a.test/?x=\\u003c\\u0026\\u003e\\u2028\xc3\xa9",'
            b'"requested_time":"2026-02-03T04:05:06.12Z"}',
            nonce=nonce,
        ) == (signature, metadata)

    def test_every_signature_has_a_nonce_of_its_own(self) -> None:
        ours = signer()
        assert len({ours.sign(URL) for _ in range(100)}) == 100

    def test_bytes_that_are_no_text_are_replaced(self) -> None:
        ours = signer()
        assert ours.validate(*ours.sign("https://a.test/\udcff")) == "https://a.test/?"

    def test_escapes_and_plain_characters_are_the_same_to_it(self) -> None:
        time = '"requested_time": "2026-02-03T04:05:06Z"'
        plain = gorouter_signature.seal(KEY, f'{{"forwarded_url": "https://a.test/?&", {time}}}'.encode())
        escaped = gorouter_signature.seal(KEY, f'{{"Forwarded_URL": "https://a.test/?\\u0026", {time}}}'.encode())
        assert signer().validate(*plain) == signer().validate(*escaped) == "https://a.test/?&"


class TestTime:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-02-03T04:05:06Z",
            "2026-02-03T04:05:06.1Z",
            "2026-02-03T04:05:06.123456789Z",
            "2026-02-03T06:05:06.12+02:00",
            "2026-02-02T17:35:06.12-10:30",
            # In the future, as the clock of another router may be.
            "2026-02-03T05:00:00Z",
        ],
    )
    def test_a_young_signature_is_good(self, text: str) -> None:
        assert signer().validate(*sealed(contents_at(text))) == URL

    @pytest.mark.parametrize(
        "text", ["2026-02-03T04:04:06.119999999Z", "2026-02-03T04:05:06+00:02", "0001-01-01T00:00:00Z"]
    )
    def test_an_old_one_is_not(self, text: str) -> None:
        error = refusal(signer(), *sealed(contents_at(text)))
        assert (str(error), error.is_expired) == ("route service request expired", True)

    def test_it_is_good_to_the_last_nanosecond(self) -> None:
        signature = signer().sign(URL)
        last = NOW + 60 * 10**9
        assert signer(last).validate(*signature) == URL
        assert refusal(signer(last + 1), *signature).is_expired

    def test_one_without_a_time_has_expired(self) -> None:
        assert refusal(signer(), *sealed({"forwarded_url": URL})).is_expired

    @pytest.mark.parametrize(
        "text",
        [
            "2026-02-03 04:05:06Z",
            "2026-02-03T04:05:06",
            "2026-02-30T04:05:06Z",
            "2026-02-03T24:05:06Z",
            "2026-02-03T04:05:06.Z",
            "2026-02-03T04:05:06+24:00",
            "٢٠٢٦-02-03T04:05:06Z",
            "now",
        ],
    )
    def test_what_is_no_time_is_refused(self, text: str) -> None:
        error = refusal(signer(), *sealed(contents_at(text)))
        assert not error.is_expired
        assert str(error).startswith(f'parsing time "{text}"')


class TestRotation:
    def test_the_previous_key_is_good_for_reading(self) -> None:
        older = RouteServiceSigner(OTHER_KEY, lifetime=60.0, clock_ns=lambda: NOW)
        assert signer(previous_key=OTHER_KEY).validate(*older.sign(URL)) == URL

    def test_signed_is_with_the_current_one(self) -> None:
        signature = signer(previous_key=OTHER_KEY).sign(URL)
        assert signer().validate(*signature) == URL

    def test_a_signature_of_neither_is_refused(self) -> None:
        other = RouteServiceSigner(derive_key("a third one"), lifetime=60.0, clock_ns=lambda: NOW)
        for ours in (signer(), signer(previous_key=OTHER_KEY)):
            error = refusal(ours, *other.sign(URL))
            assert (str(error), error.is_expired) == ("cipher: message authentication failed", False)

    def test_one_that_expired_under_the_previous_key_has_expired(self) -> None:
        older = RouteServiceSigner(OTHER_KEY, lifetime=60.0, clock_ns=lambda: NOW - 61 * 10**9)
        assert refusal(signer(previous_key=OTHER_KEY), *older.sign(URL)).is_expired


# Always the same: it is part of the names of tests.
METADATA = gorouter_signature.seal(KEY, b"{}", nonce=bytes(12))[1]


@pytest.mark.parametrize(
    ("signature", "metadata", "text"),
    [
        (b"AAAA", b"", "No metadata found"),
        (b"", b"", "No metadata found"),
        (b"", METADATA, "cipher: message authentication failed"),
        (b"AAAA", METADATA, "cipher: message authentication failed"),
        (b"AAA", METADATA, "illegal base64 data at input byte 0"),
        (b"AAAAA", METADATA, "illegal base64 data at input byte 4"),
        (b"AAAA+AAA", METADATA, "illegal base64 data at input byte 4"),
        (b"AAAA=AAA", METADATA, "illegal base64 data at input byte 4"),
        (b"AAAAA=AA", METADATA, "illegal base64 data at input byte 5"),
        (b"AAAAAA=", METADATA, "illegal base64 data at input byte 7"),
        (b"AAAAAA=A", METADATA, "illegal base64 data at input byte 7"),
        (b"AAAAAAA=A", METADATA, "illegal base64 data at input byte 8"),
        (b"AAAA", b"!", "illegal base64 data at input byte 0"),
        (b"AAAA", base64.urlsafe_b64encode(b"no json"), "invalid JSON"),
        (b"AAAA", base64.urlsafe_b64encode(b"x"), "invalid character 'x' looking for beginning of value"),
        (b"AAAA", base64.urlsafe_b64encode(b""), "No metadata found"),
        (b"AAAA", base64.urlsafe_b64encode(b" "), "unexpected end of JSON input"),
        (b"AAAA", base64.urlsafe_b64encode(b'{"nonce":'), "unexpected end of JSON input"),
        (
            b"AAAA",
            base64.urlsafe_b64encode(b"[]"),
            "json: cannot unmarshal array into Go value of type routeservice.Metadata",
        ),
        (
            b"AAAA",
            base64.urlsafe_b64encode(b'{"nonce":1}'),
            "json: cannot unmarshal number into Go struct field Metadata.nonce of type []uint8",
        ),
        (b"AAAA", base64.urlsafe_b64encode(b'{"nonce":"AA=A"}'), "illegal base64 data at input byte 3"),
        (b"AAAA", base64.urlsafe_b64encode(b'{"nonce":"AAAA"}'), "incorrect nonce length"),
        (b"AAAA", base64.urlsafe_b64encode(b"{}"), "incorrect nonce length"),
        (b"AAAA", base64.urlsafe_b64encode(b"null"), "incorrect nonce length"),
    ],
)
def test_what_is_no_signature_is_refused_in_gos_words(signature: bytes, metadata: bytes, text: str) -> None:
    error = refusal(signer(), signature, metadata)
    assert (str(error), error.is_expired) == (text, False)


def test_deeply_nested_json_is_refused() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 100_000)
    assert not refusal(signer(), b"AAAA", nested).is_expired


def test_contents_that_no_router_writes_are_refused() -> None:
    refused: list[object] = [[], 1, "text", {"forwarded_url": 1}, {"requested_time": True}]
    for contents in refused:
        assert "json: cannot unmarshal" in str(refusal(signer(), *sealed(contents)))


class TestLog:
    @pytest.fixture
    def lines(self) -> list[tuple[int, str, dict[str, Any]]]:
        return []

    def test_an_expired_one(self, lines: list[Any]) -> None:
        ours = signer(NOW + int(timedelta(minutes=2).total_seconds()) * 10**9, log=lambda *line: lines.append(line))
        refusal(ours, *signer().sign(URL))
        assert lines == [
            (
                3,
                "proxy-route-service-timeout",
                {
                    "error": "route service request expired",
                    "forwarded-url": URL,
                    "request-time": "2026-02-03T04:05:06.12Z",
                },
            )
        ]

    def test_one_of_another_key(self, lines: list[Any]) -> None:
        ours = signer(log=lambda *line: lines.append(line))
        refusal(ours, *gorouter_signature.sign(OTHER_KEY, URL))
        data = {"error": "cipher: message authentication failed"}
        assert lines == [(3, "proxy-route-service-current-key", data)]

    def test_one_of_neither_key(self, lines: list[Any]) -> None:
        ours = signer(previous_key=OTHER_KEY, log=lambda *line: lines.append(line))
        refusal(ours, *gorouter_signature.sign(derive_key("a third one"), URL))
        data = {"error": "cipher: message authentication failed"}
        message = "Decrypt-only secret used to validate route service signature header"
        assert lines == [
            (0, "proxy-route-service-current-key", {"message": message}),
            (3, "proxy-route-service-previous-key", data),
        ]

    def test_one_of_the_previous_key_is_no_error(self, lines: list[Any]) -> None:
        ours = signer(previous_key=OTHER_KEY, log=lambda *line: lines.append(line))
        ours.validate(*gorouter_signature.sign(OTHER_KEY, URL, at=datetime.fromtimestamp(NOW / 1e9, UTC)))
        ((level, message, _),) = lines
        assert (level, message) == (0, "proxy-route-service-current-key")
