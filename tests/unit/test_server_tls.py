"""The context of a listener, between two ends in memory (spec 8.5)."""

import gc
import ssl
import weakref
from collections.abc import Iterator

import pytest

from fastrouter.tls.server import server_context
from integration.issuer import Issuer, Pair
from integration.tls_front import client_context, server_tls

from .wire import Wire

ISSUER = Issuer()
FIRST, SECOND = ISSUER.pair("first.test"), ISSUER.pair("second.test")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing but the last reference ends an object."""
    gc.disable()
    yield
    gc.enable()


def certificate_for(context: ssl.SSLContext, name: str) -> bytes | None:
    """What a listener shows to who asks for `name`."""
    wire = Wire(client_context(ISSUER, checks_names=False), context, name).shake_hands()
    return wire.client.getpeercert(binary_form=True)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("pairs", [(FIRST,), (FIRST, SECOND), (FIRST, ISSUER.pair("first.test"), SECOND)])
def test_contexts_are_gone_with_the_last_who_uses_them(pairs: tuple[Pair, ...]) -> None:
    """A worker's collector hardly ever looks, and each set of certificates is megabytes."""
    context = server_context(server_tls(*pairs))
    for name in ("first.test", "second.test", "unknown.test"):
        certificate_for(context, name)
    seen = weakref.ref(context)
    del context
    assert seen() is None


def test_a_name_that_the_default_has_too() -> None:
    """The first identity of a kind stands for who asks for nothing, the last that has a name for who asks for it."""
    renewed = ISSUER.pair("first.test")
    context = server_context(server_tls(FIRST, SECOND, renewed))
    assert certificate_for(context, "second.test") == SECOND.der
    assert certificate_for(context, "first.test") == renewed.der
    assert certificate_for(context, "unknown.test") == FIRST.der
