"""What Go says of a server's certificate, in its words (spec 5.6, 5.7, E08, E10)."""

import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastrouter.tls.peer_certificate import diagnose, name_mismatch

UNTRUSTED, EXPIRED, WRONG_PURPOSE, CRITICAL, MISNAMED = 20, 10, 26, 34, 62
NOW = datetime.datetime(2026, 11, 27, 12, 0, tzinfo=datetime.UTC).timestamp()


def certificate(*dns_names: str, addresses: tuple[str, ...] = (), **entries: Any) -> dict[str, Any]:
    names = [*(("DNS", one) for one in dns_names), *(("IP Address", one) for one in addresses)]
    return {
        "subject": ((("commonName", "leaf"),),),
        "notBefore": "Jan  1 00:00:00 2026 GMT",
        "notAfter": "Jan  1 00:00:00 2027 GMT",
        **({"subjectAltName": tuple(names)} if names else {}),
        **entries,
    }


class TestNames:
    """As x509.Certificate.VerifyHostname of Go 1.23 has decided each of them."""

    @pytest.mark.parametrize(
        ("name", "alternative"),
        [
            ("a.internal", "a.internal"),
            ("A.Internal", "a.iNTERNAL"),
            ("a.internal.", "a.internal"),
            ("a.internal.", "a.internal."),
            ("a.internal", "*.internal"),
            ("a.internal.", "*.internal"),
            ("a_b.internal", "*.internal"),
            ("localhost", "localhost"),
            ("x" * 70 + ".internal", "*.internal"),
            # What is no host name matches itself.
            ("spiffe://a/b", "spiffe://a/b"),
            ("*.internal", "*.internal"),
            ("*", "*"),
            ("a..b", "a..b"),
            ("-a.internal", "-a.internal"),
        ],
    )
    def test_covered(self, name: str, alternative: str) -> None:
        assert name_mismatch(certificate("other.internal", alternative), name) == ""

    @pytest.mark.parametrize(
        ("name", "alternative"),
        [
            ("b.internal", "a.internal"),
            ("a.internal", "a.internal."),
            ("a.internal", "*.internal."),
            ("a.b.internal", "*.internal"),
            ("internal", "*.internal"),
            ("ab.internal", "a*.internal"),
            ("a.b.internal", "a.*.internal"),
            ("a.b", "*.*"),
            ("localhost", "*"),
            ("-a.internal", "*.internal"),
            ("a.internal..", "a.internal"),
            (".internal", "*.internal"),
            (".", "."),
            # The Kelvin sign is a k in lower case.
            ("\u212a.internal", "k.internal"),
            ("a\0.internal", "a"),
        ],
    )
    def test_not_covered(self, name: str, alternative: str) -> None:
        assert name_mismatch(certificate(alternative), name) == f"certificate is valid for {alternative}, not {name}"

    @pytest.mark.parametrize("name", ["10.0.0.1", "[10.0.0.1]", "::ffff:10.0.0.1", "fd00::a", "[FD00:0::A]"])
    def test_addresses_covered(self, name: str) -> None:
        # Python writes IPv6 like this.
        assert name_mismatch(certificate("a", addresses=("10.0.0.1", "FD00:0:0:0:0:0:0:A")), name) == ""

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("10.0.0.2", "certificate is valid for 10.0.0.1, fd00::a, 10.0.0.9, not 10.0.0.2"),
            ("[fd00::b]", "certificate is valid for 10.0.0.1, fd00::a, 10.0.0.9, not fd00::b"),
            ("10.0.0.01", "certificate is valid for a, not 10.0.0.01"),
            ("[a]", "certificate is valid for a, not [a]"),
        ],
    )
    def test_addresses_not_covered(self, name: str, text: str) -> None:
        addresses = ("10.0.0.1", "FD00:0:0:0:0:0:0:A", "0:0:0:0:0:FFFF:A00:9")
        assert name_mismatch(certificate("a", addresses=addresses), name) == text

    def test_an_address_as_a_dns_name_is_none(self) -> None:
        text = "cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs"
        assert name_mismatch(certificate("10.0.0.1"), "10.0.0.1") == text

    @pytest.mark.parametrize(
        ("shown", "text"),
        [
            (certificate(), "certificate is not valid for any names, but wanted to match leaf.internal"),
            (
                certificate(subject=((("commonName", "*.internal"),),)),
                "certificate relies on legacy Common Name field, use SANs instead",
            ),
            (
                certificate(subjectAltName=(), subject=((("commonName", "leaf.internal"),),)),
                "certificate is not valid for any names, but wanted to match leaf.internal",
            ),
            (
                certificate(subject=((("commonName", "leaf.internal"),), (("commonName", "last"),))),
                "certificate is not valid for any names, but wanted to match leaf.internal",
            ),
            (
                certificate(addresses=("10.0.0.1",)),
                "certificate is not valid for any names, but wanted to match leaf.internal",
            ),
        ],
    )
    def test_no_names(self, shown: dict[str, Any], text: str) -> None:
        assert name_mismatch(shown, "leaf.internal") == text

    def test_an_empty_name_is_never_covered(self) -> None:
        assert name_mismatch(certificate("", "."), "")

    @pytest.mark.parametrize("names", [[f"i{number}" for number in range(101)], ["x" * 5000, "y"]])
    def test_many_names_are_counted(self, names: list[str]) -> None:
        text = f"certificate is valid for {len(names)} names, but none matched a"
        assert name_mismatch(certificate(*names), "a") == text

    @pytest.mark.parametrize("name", ["a", "10.0.0.1"])
    def test_a_name_that_is_not_ascii_spoils_all(self, name: str) -> None:
        with pytest.raises(ValueError, match="SAN dNSName is malformed"):
            name_mismatch(certificate("a", "\u212a", addresses=("10.0.0.1",)), name)


class TestJudgement:
    """Which of several faults Go reports."""

    LATE = "Jan  1 00:00:00 2026 GMT"
    EARLY = "Jan  1 00:00:00 2027 GMT"
    OVER = (
        "certificate has expired or is not yet valid: current time 2026-11-27T12:00:00Z is after 2026-01-01T00:00:00Z"
    )
    TO_COME = (
        "certificate has expired or is not yet valid: current time 2026-11-27T12:00:00Z is before 2027-01-01T00:00:00Z"
    )

    @pytest.fixture(autouse=True)
    def zone(self, request: pytest.FixtureRequest) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", getattr(request, "param", "UTC"))
            time.tzset()
            yield
        time.tzset()

    @pytest.mark.parametrize(
        ("code", "shown", "kind", "text"),
        [
            (UNTRUSTED, certificate("a"), UNTRUSTED, "certificate signed by unknown authority"),
            (UNTRUSTED, certificate("b"), MISNAMED, "certificate is valid for b, not a"),
            (UNTRUSTED, certificate("b", notAfter=LATE), EXPIRED, OVER),
            (EXPIRED, certificate("b", notAfter=LATE), EXPIRED, OVER),
            (9, certificate("a", notBefore=EARLY), EXPIRED, TO_COME),
            (WRONG_PURPOSE, certificate("a"), WRONG_PURPOSE, "certificate specifies an incompatible key usage"),
            (WRONG_PURPOSE, certificate("b"), MISNAMED, "certificate is valid for b, not a"),
            (CRITICAL, certificate("b", notAfter=LATE), CRITICAL, "unhandled critical extension"),
            (25, certificate("a"), 25, "too many intermediates for path length constraint"),
        ],
    )
    def test_of_the_first_certificate(self, code: int, shown: dict[str, Any], kind: int, text: str) -> None:
        assert diagnose(code, [shown, certificate(notAfter=self.LATE)], "a", NOW) == (kind, text)

    def test_times_of_an_authority_come_after_the_name(self) -> None:
        chain = [certificate("a"), certificate(notAfter=self.LATE)]
        assert diagnose(EXPIRED, chain, "a", NOW) == (EXPIRED, self.OVER)
        assert diagnose(EXPIRED, chain, "b", NOW) == (MISNAMED, "certificate is valid for a, not b")
        # A root that is not shown.
        assert diagnose(EXPIRED, chain[:1], "a", NOW) == (EXPIRED, "certificate has expired or is not yet valid")

    def test_without_certificates_it_is_openssls(self) -> None:
        assert diagnose(UNTRUSTED, [], "a", NOW) == (UNTRUSTED, "certificate signed by unknown authority")

    @pytest.mark.parametrize("zone", ["CET-1"], indirect=True)
    def test_now_is_in_local_time(self) -> None:
        _, text = diagnose(EXPIRED, [certificate("a", notAfter=self.LATE)], "a", NOW + 0.9)
        assert text.endswith("current time 2026-11-27T13:00:00+01:00 is after 2026-01-01T00:00:00Z")
