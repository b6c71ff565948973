import ssl

import pytest

from fastrouter.tls.internal_ca import INTERNAL_HOST, InternalIdentities, new_internal_identities
from fastrouter.tls.pem_files import load_identity

KEY = b"0123456789abcdef"


def contexts(server: InternalIdentities, client: InternalIdentities) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.verify_flags |= ssl.VERIFY_X509_STRICT
    server_context.load_verify_locations(cadata=server.ca_cert)
    for identity in server.servers:
        load_identity(server_context, identity.cert_chain, identity.private_key)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    client_context.load_verify_locations(cadata=client.ca_cert)
    load_identity(client_context, client.client.cert_chain, client.client.private_key)
    return server_context, client_context


def shake_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=INTERNAL_HOST)
    waiting = {server, client}
    for side in (client, server) * 3:
        if side in waiting:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    assert not waiting
    return server, client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_ends_believe_each_other(version: ssl.TLSVersion) -> None:
    identities = new_internal_identities(KEY)
    server_context, client_context = contexts(identities, identities)
    client_context.maximum_version = version
    server, client = shake_hands(server_context, client_context)
    for end in (server, client):
        certificate = end.getpeercert()
        assert certificate is not None
        assert certificate["subject"] == ((("commonName", "gorouter"),),)


@pytest.mark.parametrize("suite", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"])
def test_any_suite_will_do(suite: str) -> None:
    identities = new_internal_identities(KEY)
    server_context, client_context = contexts(identities, identities)
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    client_context.set_ciphers(suite)
    shake_hands(server_context, client_context)


def test_a_router_and_its_successor_believe_each_other() -> None:
    before, after = new_internal_identities(KEY), new_internal_identities(KEY)
    assert before.client.private_key != after.client.private_key
    shake_hands(*contexts(before, after))
    shake_hands(*contexts(after, before))


def test_they_believe_nobody_else() -> None:
    ours, theirs = new_internal_identities(KEY), new_internal_identities(b"another secret")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(*contexts(theirs, ours))


def test_the_client_side_cannot_pose_as_the_server() -> None:
    identities = new_internal_identities(KEY)
    _, client_context = contexts(identities, identities)
    impostor = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_identity(impostor, identities.client.cert_chain, identities.client.private_key)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unsuitable|purpose"):
        shake_hands(impostor, client_context)
