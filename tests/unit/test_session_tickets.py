"""Keys of session tickets, set behind the back of Python's ssl."""

import ssl
from typing import Any

import pytest

from fastrouter.ipc.messages import ClientRule
from fastrouter.tls import session_tickets
from fastrouter.tls.libssl import LibsslError
from fastrouter.tls.server import server_context
from fastrouter.tls.session_tickets import try_ticket_keys
from integration.issuer import Issuer
from integration.tls_front import client_context, server_tls

from .wire import Wire

ISSUER = Issuer()
PAIR = ISSUER.pair("first.test")
SECRET = b"s" * 32

# Of openssl/x509_vfy.h.
X509_V_FLAG_NO_CHECK_TIME = 0x200000


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLSv1.2", "TLSv1.3"])
def client(request: pytest.FixtureRequest) -> ssl.SSLContext:
    return client_context(ISSUER, version=request.param, checks_names=False)


def are_shared(client: ssl.SSLContext, giver: ssl.SSLContext, taker: ssl.SSLContext) -> bool:
    """Whether a session that comes from one context is resumed by the other."""
    session = Wire(client, giver, "first.test").shake_hands().answer().client.session
    wire = Wire(client, taker, "first.test", session).shake_hands().answer()
    assert wire.client.session_reused == wire.server.session_reused
    return bool(wire.client.session_reused)


def test_same_secret(client: ssl.SSLContext) -> None:
    giver, taker = (server_context(server_tls(PAIR, ticket_secret=SECRET)) for _ in range(2))
    assert are_shared(client, giver, taker)


def test_another_secret(client: ssl.SSLContext) -> None:
    giver, taker = (server_context(server_tls(PAIR, ticket_secret=secret)) for secret in (SECRET, b"t" * 32))
    assert not are_shared(client, giver, taker)


def test_without_a_secret_contexts_have_their_own_keys(client: ssl.SSLContext) -> None:
    assert not are_shared(client, *(server_context(server_tls(PAIR)) for _ in range(2)))


def test_another_certificate(client: ssl.SSLContext) -> None:
    pairs = (PAIR,), (ISSUER.pair("other.test"), ISSUER.pair("first.test"))
    giver, taker = (server_context(server_tls(*some, ticket_secret=SECRET)) for some in pairs)
    assert are_shared(client, giver, taker)
    assert are_shared(client, taker, giver)


@pytest.mark.parametrize(
    "change",
    [
        {"ciphers": ("ECDHE-ECDSA-AES128-GCM-SHA256",)},
        {"client_certificates": "request"},
        {"client_ca_certs": Issuer("other").pem},
        {"trusts_system_roots": True},
        {"client_rules": (ClientRule("CN=test authority", ("CN=good",)),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_rules(client: ssl.SSLContext, change: dict[str, Any]) -> None:
    """A session proves no more than its handshake has verified."""
    rules = {"client_ca_certs": ISSUER.pem, "client_certificates": "none", "ticket_secret": SECRET}
    giver, taker = (server_context(server_tls(PAIR, **options)) for options in (rules, rules | change))
    assert not are_shared(client, giver, taker)
    assert not are_shared(client, taker, giver)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("is_expired", [False, True])
def test_a_client_certificate_that_has_expired_since(version: ssl.TLSVersion, *, is_expired: bool) -> None:
    identity = ISSUER.pair("client.test", is_expired=is_expired)
    client = client_context(ISSUER, version=version, checks_names=False, identity=identity)
    options = {"client_certificates": "request", "client_ca_certs": ISSUER.pem, "ticket_secret": SECRET}
    giver, taker = (server_context(server_tls(PAIR, **options)) for _ in range(2))
    giver.verify_flags |= X509_V_FLAG_NO_CHECK_TIME
    if is_expired:
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
            are_shared(client, giver, taker)
    else:
        assert are_shared(client, giver, taker)


class TestOtherPythons:
    def test_no_libssl(self, client: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_libssl() -> None:
            raise LibsslError("no libssl can be called")

        monkeypatch.setattr(session_tickets, "libssl", no_libssl)
        with pytest.raises(LibsslError):
            try_ticket_keys()
        context = server_context(server_tls(PAIR, ticket_secret=SECRET))
        assert are_shared(client, context, context)
