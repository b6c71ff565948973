"""Whom certificates and X-Forwarded-Client-Cert name, and how a certificate is told of (spec 9.8)."""

from base64 import b64encode

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from fastrouter.tls.callers import (
    CallerNames,
    envoy_header,
    names_of_certificate,
    names_of_envoy_header,
    names_of_raw_header,
    raw_header,
)
from integration.issuer import Issuer, instance_name, uri_names

ISSUER = Issuer()
NAMES = CallerNames("a-1", "s-1", "o-1", ())
UNITS = ("app:a-1", "space:s-1", "organization:o-1")


def der(*units: str, uris: tuple[str, ...] = (), subject: x509.Name | None = None) -> bytes:
    extensions = [uri_names(*uris)] if uris else []
    return ISSUER.pair(subject=subject or instance_name(*units), extensions=extensions).der


class TestCertificates:
    @pytest.mark.parametrize(
        ("units", "uris", "names"),
        [
            (UNITS, (), NAMES),
            (UNITS[::-1], (), NAMES),
            (("app:a-1",), (), CallerNames("a-1", "", "", ())),
            (("app:a-1", "app:a-2", "app:"), (), CallerNames("a-2", "", "", ())),
            (("space:s-1", "organization:o-1"), (), None),
            (("app:",), (), None),
            (("APP:a-1",), (), None),
            ((" app:a-1",), (), None),
            ((), (), None),
            (UNITS, ("spiffe://t/x", "https://t/x"), CallerNames("a-1", "s-1", "o-1", ("spiffe://t/x",))),
            (("space:s-1",), ("spiffe://t/x",), CallerNames("", "", "", ("spiffe://t/x",))),
            ((), ("https://t/x",), None),
        ],
    )
    def test_names(self, units: tuple[str, ...], uris: tuple[str, ...], names: CallerNames | None) -> None:
        assert names_of_certificate(der(*units, uris=uris)) == names

    def test_units_in_parts_of_their_own(self) -> None:
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in UNITS])
        assert names_of_certificate(der(subject=subject)) == NAMES

    @given(st.binary(max_size=200))
    def test_whatever_it_is(self, data: bytes) -> None:
        assert names_of_certificate(data) is None
        assert names_of_raw_header(data) is None


class TestRawHeaders:
    def test_is_read_as_it_is_written(self) -> None:
        assert names_of_raw_header(raw_header(der(*UNITS))) == NAMES
        assert names_of_raw_header(b" " + raw_header(der(*UNITS)) + b"\t") == NAMES

    @pytest.mark.parametrize("value", [b"", b"%%%", b"MIIB", b64encode(b"x" * 20000), b"TUlJ,TUlJ"])
    def test_is_none(self, value: bytes) -> None:
        assert names_of_raw_header(value) is None


class TestEnvoyHeaders:
    @pytest.mark.parametrize(
        ("value", "names"),
        [
            ('Hash=0a;Subject="CN=i,OU=app:a-1,OU=space:s-1,OU=organization:o-1"', NAMES),
            # As Envoy writes a name with several units in one part.
            ('By=spiffe://t/r;Hash=0a;Subject="OU=app:a-1+OU=space:s-1+OU=organization:o-1,CN=i";URI=', NAMES),
            ('Subject="/C=x/OU=app:a-1/OU=space:s-1/OU=organization:o-1/CN=i"', NAMES),
            ('Subject="OU=app:a-1"', CallerNames("a-1", "", "", ())),
            ('Subject="OU=x/OU=app:a-1"', None),
            ('subject="OU=app:a-1"', CallerNames("a-1", "", "", ())),
            ("Hash=0a;URI=spiffe://t/ns/x", CallerNames("", "", "", ("spiffe://t/ns/x",))),
            ('Hash=0a;URI="spiffe://t/ns/x";URI=https://x', CallerNames("", "", "", ("spiffe://t/ns/x",))),
            ('Subject="OU=app:a-1";Chain="-----BEGIN%20,;=";DNS=x', CallerNames("a-1", "", "", ())),
            # A separator inside a value is none.
            ('Subject="CN=x\\,OU=app:a-1"', None),
            ('Subject="OU=app:a-2\\,OU=app:a-1"', CallerNames("a-2,OU=app:a-1", "", "", ())),
            ('Subject="OU=app:a\\+b"', CallerNames("a+b", "", "", ())),
            ('Subject="CN=a \\"quoted\\" name,OU=app:a-1"', CallerNames("a-1", "", "", ())),
            # Nobody knows which client is meant.
            ('Hash=0a;Subject="OU=app:a-1",Hash=0b;Subject="OU=app:a-2"', None),
            ('Subject="OU=app:a-1";Subject="OU=app:a-1"', None),
            ('Subject="OU=app:a-1"x', None),
            ('Subject="OU=app:a-1', None),
            ('Subject=""', None),
            ('Subject="CN=x"', None),
            ("Hash=0a;", None),
            ("", None),
            ("no pair", None),
        ],
    )
    def test_names(self, value: str, names: CallerNames | None) -> None:
        assert names_of_envoy_header(value.encode()) == names

    @given(st.binary(max_size=100) | st.text('OU=app:1,;+/\\" SubjecthasURIpife', max_size=100).map(str.encode))
    def test_whatever_it_is(self, value: bytes) -> None:
        names_of_envoy_header(value)

    @given(
        st.lists(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda text: text[:4] != "app:"),
            max_size=4,
        ),
        st.text(alphabet="0123456789abcdef-", min_size=1, max_size=36),
    )
    def test_what_is_written_names_whom_the_certificate_names(self, units: list[str], app: str) -> None:
        """Whatever stands in the other units, nobody can be made of it."""
        parts = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in [*units, f"app:{app}"]]
        certificate = der(subject=x509.Name(parts))
        written = envoy_header(certificate)
        assert not any(byte < 32 or byte == 127 for byte in written)
        found = names_of_envoy_header(written)
        assert found is not None
        assert found.app == app

    def test_of_what_cannot_be_read(self) -> None:
        assert envoy_header(b"x") == b"Hash=2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

    def test_parts_in_their_order(self) -> None:
        attributes = [
            (NameOID.COUNTRY_NAME, "DE"),
            (NameOID.STATE_OR_PROVINCE_NAME, "st"),
            (NameOID.LOCALITY_NAME, "l"),
            (NameOID.ORGANIZATION_NAME, "o"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "u1"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, 'u2, "x"\r\n'),
            (NameOID.COMMON_NAME, "first"),
            (NameOID.COMMON_NAME, "last"),
        ]
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
        _, _, text = envoy_header(der(subject=subject)).decode().partition(";")
        assert text == 'Subject="CN=last,OU=u1,OU=u2\\, \\"x\\"  ,O=o,L=l,ST=st,C=DE"'
