"""The context for backends: trust, identity, suites and sessions, between two ends in memory (spec 5.6)."""

import datetime
import os
import ssl

import pytest

from fastrouter.tls.backends import MAX_SESSIONS, BackendContext, backend_context, route_service_context
from integration.tls_backend import SAN, Authority

from .wire import Wire

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
OURS = Authority()
# Any two suites of TLS 1.2 that go with the certificates of the authority.
FIRST_SUITE, OTHER_SUITE = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"


def resumed(client: BackendContext, server: ssl.SSLContext, name: str = SAN) -> bool:
    """Whether a whole conversation in the name of `name` began with a session of one before."""
    return Wire(client, server, name).shake_hands().answer().client.session_reused or False


class TestTrust:
    def test_given_authority_is_trusted(self) -> None:
        Wire(backend_context(ca_certs=[OURS.pem]), OURS.server()).shake_hands()

    def test_each_of_several_is_trusted(self) -> None:
        second = Authority()
        context = backend_context(ca_certs=[OURS.pem, second.pem])
        for authority in (OURS, second):
            Wire(context, authority.server()).shake_hands()

    def test_one_text_may_hold_several(self) -> None:
        second = Authority()
        context = backend_context(ca_certs=[OURS.pem + second.pem])
        for authority in (OURS, second):
            Wire(context, authority.server()).shake_hands()

    def test_system_roots_are_trusted_too(self) -> None:
        system = ssl.create_default_context()
        context = backend_context(ca_certs=[OURS.pem])
        assert context.cert_store_stats()["x509_ca"] == system.cert_store_stats()["x509_ca"] + 1

    def test_nobody_else_is(self) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            Wire(backend_context(), OURS.server()).shake_hands()

    def test_given_certificate_need_not_be_a_root(self) -> None:
        # Go ends a chain at any certificate of its pool.
        leaf, key = OURS.pair(SAN)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_pair(server, leaf, key)
        Wire(backend_context(ca_certs=[leaf]), server).shake_hands()

    def test_what_cannot_be_read_beside_it_is_passed_over(self) -> None:
        # As Go does it; a comment may be the name of an authority, in its own language.
        broken = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"
        for bundle in (f"# Főtanúsítvány\n{OURS.pem}", broken + OURS.pem, OURS.pem + broken):
            Wire(backend_context(ca_certs=[bundle]), OURS.server()).shake_hands()

    @pytest.mark.parametrize("pem", ["", "nonsense"])
    def test_text_without_a_certificate_is_refused(self, pem: str) -> None:
        with pytest.raises((ssl.SSLError, ValueError)):
            backend_context(ca_certs=[pem])


class TestName:
    def test_common_name_does_not_count(self) -> None:
        server = OURS.server("other.internal", common_name=SAN)
        with pytest.raises(ssl.SSLCertVerificationError, match=f"certificate is valid for other.internal, not {SAN}"):
            Wire(backend_context(ca_certs=[OURS.pem]), server).shake_hands()

    def test_address_needs_an_address(self) -> None:
        context = backend_context(ca_certs=[OURS.pem])
        Wire(context, OURS.server("10.0.0.1"), "10.0.0.1").shake_hands()
        with pytest.raises(ssl.SSLCertVerificationError):
            Wire(context, OURS.server(SAN), "10.0.0.1").shake_hands()

    def test_wildcard_covers_one_label(self) -> None:
        context, server = backend_context(ca_certs=[OURS.pem]), OURS.server("*.app.internal")
        Wire(context, server, "one.app.internal").shake_hands()
        with pytest.raises(ssl.SSLCertVerificationError):
            Wire(context, server, "one.two.app.internal").shake_hands()

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            (SAN, SAN),
            (f"{SAN}.", SAN),
            ("x" * 70 + ".internal", "x" * 70 + ".internal"),
            # No host name, or one that SNI cannot carry.
            ("10.0.0.1", None),
            ("[::1]", None),
            ("a." * 130 + "internal", None),
            (".internal", None),
            ("", None),
            ("m\u00fcller.internal", None),
        ],
    )
    def test_is_told_to_the_server(self, name: str, told: str | None) -> None:
        named: list[str | None] = []
        server = OURS.server()
        server.sni_callback = lambda _socket, name, _context: named.append(name)
        context = route_service_context(min_version="TLSv1.2", max_version="TLSv1.3", skip_ssl_validation=True)
        Wire(context, server, name).shake_hands()
        assert named == [told]

    @pytest.mark.parametrize("name", ["", "a." * 130 + "internal", ".internal", "m\u00fcller.internal", "a\0b"])
    def test_that_cannot_be_told_is_verified(self, name: str) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            Wire(backend_context(ca_certs=[OURS.pem]), OURS.server(), name).shake_hands()

    @pytest.mark.parametrize("authority", [OURS, Authority()])
    @pytest.mark.parametrize("version", VERSIONS)
    def test_without_validation_nothing_matters(self, authority: Authority, version: ssl.TLSVersion) -> None:
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        server = authority.server("other.internal", version=version, not_before=past, not_after=past)
        context = route_service_context(min_version="TLSv1.2", max_version="TLSv1.3", skip_ssl_validation=True)
        Wire(context, server).shake_hands().answer()


class TestVersionsAndSuites:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_both_versions(self, version: ssl.TLSVersion) -> None:
        wire = Wire(backend_context(ca_certs=[OURS.pem]), OURS.server(version=version)).shake_hands()
        assert wire.client.version() == version.name.replace("_", ".")

    def test_nothing_older(self) -> None:
        context = backend_context()
        assert (context.minimum_version, context.maximum_version) == tuple(VERSIONS)

    @pytest.mark.parametrize("ciphers", [[], [FIRST_SUITE]])
    def test_as_weak_as_go_would_have_it(self, ciphers: list[str]) -> None:
        # 80 bits: RSA from 1024 bits on, and no SHA-1.
        assert backend_context(ciphers=ciphers).security_level == 1
        context = route_service_context(min_version="TLSv1.3", max_version="TLSv1.3", ciphers=ciphers)
        assert context.security_level == 1

    def test_suites_of_tls_1_2_are_those_given(self) -> None:
        context = backend_context(ca_certs=[OURS.pem], ciphers=[FIRST_SUITE])
        server = OURS.server(version=ssl.TLSVersion.TLSv1_2)
        suite = Wire(context, server).shake_hands().client.cipher()
        assert suite is not None
        assert suite[0] == FIRST_SUITE
        server.set_ciphers(OTHER_SUITE)
        with pytest.raises(ssl.SSLError):
            Wire(context, server).shake_hands()

    def test_suites_of_tls_1_3_stay(self) -> None:
        context = backend_context(ciphers=[FIRST_SUITE])
        suites = [suite["name"] for suite in context.get_ciphers()]
        assert suites == [
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_AES_128_GCM_SHA256",
            FIRST_SUITE,
        ]

    def test_unknown_suite_is_refused(self) -> None:
        with pytest.raises(ssl.SSLError):
            backend_context(ciphers=["NO-SUCH-SUITE"])


class TestIdentity:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_is_shown_to_who_asks(self, version: ssl.TLSVersion) -> None:
        chain, key = OURS.pair("router.internal")
        context = backend_context(ca_certs=[OURS.pem], cert_chain=chain, private_key=key)
        wire = Wire(context, OURS.server(version=version, client_authority=OURS)).shake_hands()
        shown = wire.server.getpeercert()
        assert shown is not None
        assert ("DNS", "router.internal") in shown["subjectAltName"]

    def test_leaves_no_file_behind(self) -> None:
        before = set(os.listdir("/proc/self/fd"))
        chain, key = OURS.pair("router.internal")
        backend_context(cert_chain=chain, private_key=key)
        assert set(os.listdir("/proc/self/fd")) == before

    def test_key_must_be_the_certificates(self) -> None:
        chain, _ = OURS.pair("router.internal")
        _, key = OURS.pair("router.internal")
        with pytest.raises(ssl.SSLError):
            backend_context(cert_chain=chain, private_key=key)


class TestSessions:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_next_handshake_resumes(self, version: ssl.TLSVersion) -> None:
        context, server = backend_context(ca_certs=[OURS.pem]), OURS.server(version=version)
        assert [resumed(context, server) for _ in range(4)] == [False, True, True, True]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_only_after_a_response(self, version: ssl.TLSVersion) -> None:
        # Until then it is unknown whether the backend accepts the router's certificate.
        context, server = backend_context(ca_certs=[OURS.pem]), OURS.server(version=version)
        Wire(context, server).shake_hands()
        assert not resumed(context, server)

    def test_only_for_the_same_name(self) -> None:
        context, server = backend_context(ca_certs=[OURS.pem]), OURS.server("one.internal", "two.internal")
        assert not resumed(context, server, "one.internal")
        assert not resumed(context, server, "two.internal")
        assert resumed(context, server, "one.internal")
        # A session must not stand in for the check of a name the certificate does not have.
        with pytest.raises(ssl.SSLCertVerificationError):
            Wire(context, server, "three.internal").shake_hands()

    def test_of_an_address(self) -> None:
        context, server = backend_context(ca_certs=[OURS.pem]), OURS.server("10.0.0.1")
        assert [resumed(context, server, "10.0.0.1") for _ in range(2)] == [False, True]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_backend_that_has_forgotten_it(self, version: ssl.TLSVersion) -> None:
        context = backend_context(ca_certs=[OURS.pem])
        for _ in range(2):
            # A backend that was restarted, or another instance with the same name.
            assert not resumed(context, OURS.server(version=version))

    @pytest.mark.parametrize("version", VERSIONS)
    def test_failed_handshake_is_not_tried_with_it_again(self, version: ssl.TLSVersion) -> None:
        context, server = backend_context(ca_certs=[OURS.pem]), OURS.server(version=version)
        assert not resumed(context, server)
        with pytest.raises(ssl.SSLError):
            Wire(context, Authority().server(version=version)).shake_hands()
        assert not resumed(context, server)

    def test_refusal_after_the_handshake_is_not_tried_with_it_again(self) -> None:
        context = backend_context(ca_certs=[OURS.pem])
        chain, key = OURS.pair("router.internal")
        load_pair(context, chain, key)
        tolerant, strict = OURS.server(), OURS.server(client_authority=Authority())
        assert not resumed(context, tolerant)
        wire = Wire(context, strict)
        for _ in range(3):
            for end in (wire.client, wire.server):
                try:
                    end.do_handshake()
                except ssl.SSLError:
                    continue
        with pytest.raises(ssl.SSLError, match=r"(?i)unknown ca"):
            wire.client.read()
        assert not resumed(context, tolerant)

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize(("minutes", "of_certificate"), [(3, 5), (59, 90), (7, 5), (61, 90)])
    def test_ends_with_the_certificate_or_after_an_hour(
        self, version: ssl.TLSVersion, minutes: int, of_certificate: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Go looks at the certificate behind a session again; OpenSSL does not.
        now = datetime.datetime.now(datetime.UTC)
        end = now + datetime.timedelta(minutes=of_certificate)
        server = OURS.server(version=version, not_before=now - datetime.timedelta(days=1), not_after=end)
        context = backend_context(ca_certs=[OURS.pem])
        assert not resumed(context, server)
        # Being resumed in between proves nothing new, and makes nothing last longer.
        monkeypatch.setattr("fastrouter.tls.backends.time", lambda: now.timestamp() + 60)
        assert resumed(context, server)
        monkeypatch.setattr("fastrouter.tls.backends.time", lambda: now.timestamp() + 60 * minutes)
        assert resumed(context, server) == (minutes in (3, 59))

    @pytest.mark.slow
    def test_at_most_so_many(self) -> None:
        context, server = backend_context(ca_certs=[OURS.pem]), OURS.server("*.app.internal")
        names = [f"i{number}.app.internal" for number in range(MAX_SESSIONS + 1)]
        for name in names[:-1]:
            assert not resumed(context, server, name)
        # What was used last stays.
        assert resumed(context, server, names[0])
        assert not resumed(context, server, names[-1])
        assert resumed(context, server, names[0])
        assert not resumed(context, server, names[1])

    def test_other_contexts_know_nothing_of_it(self) -> None:
        server = OURS.server()
        assert not resumed(backend_context(ca_certs=[OURS.pem]), server)
        assert not resumed(backend_context(ca_certs=[OURS.pem]), server)


def load_pair(context: ssl.SSLContext, chain: str, key: str) -> None:
    with open(os.memfd_create("pair"), "w", encoding="ascii") as file:
        file.write(key + chain)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
