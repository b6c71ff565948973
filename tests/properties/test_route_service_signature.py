"""Whatever comes in the two headers: only what a router has signed is a signature."""

import base64
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

import gorouter_signature
from fastrouter.route_services.signature import RouteServiceSigner, SignatureError, derive_key

KEY = derive_key("rs-secret")
NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
NOW_NS = round(NOW.timestamp()) * 10**9
SIGNER = RouteServiceSigner(KEY, derive_key("previous"), lifetime=60.0, clock_ns=lambda: NOW_NS)

url = st.text(st.characters(exclude_categories=["Cs"]), max_size=200).map("https://app.test/".__add__)


def is_refused(signature: bytes, metadata: bytes) -> bool:
    try:
        SIGNER.validate(signature, metadata)
    except SignatureError:
        return True
    return False


@given(url)
def test_round_trip(url: str) -> None:
    assert SIGNER.validate(*SIGNER.sign(url)) == url


@given(url)
def test_an_independent_implementation_reads_ours(url: str) -> None:
    assert gorouter_signature.unseal(KEY, *SIGNER.sign(url))["forwarded_url"] == url


@given(
    url,
    st.timedeltas(timedelta(seconds=-59), timedelta(seconds=59)),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)),
)
def test_we_read_those_of_an_independent_implementation(url: str, age: timedelta, offset: timedelta) -> None:
    zone = timezone(timedelta(minutes=offset // timedelta(minutes=1)))
    assert SIGNER.validate(*gorouter_signature.sign(KEY, url, at=(NOW - age).astimezone(zone))) == url


@given(url, st.data())
def test_no_byte_can_be_changed(url: str, data: st.DataObject) -> None:
    signature, metadata = SIGNER.sign(url)
    sealed = bytearray(base64.urlsafe_b64decode(signature))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    assert is_refused(base64.urlsafe_b64encode(sealed), metadata)


@given(url, st.data())
def test_nothing_can_be_taken_away_or_added(url: str, data: st.DataObject) -> None:
    signature, metadata = SIGNER.sign(url)
    sealed = base64.urlsafe_b64decode(signature)
    start = data.draw(st.integers(0, len(sealed)))
    end = data.draw(st.integers(start, len(sealed)))
    other = sealed[:start] + data.draw(st.binary(max_size=40)) + sealed[end:]
    assert (other == sealed) != is_refused(base64.urlsafe_b64encode(other), metadata)


@given(url, url)
def test_metadata_of_another_signature_is_of_no_use(url: str, other_url: str) -> None:
    signature, _ = SIGNER.sign(url)
    _, metadata = SIGNER.sign(other_url)
    assert is_refused(signature, metadata)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_noise_is_refused(signature: bytes, metadata: bytes) -> None:
    assert is_refused(signature, metadata)
    assert is_refused(base64.urlsafe_b64encode(signature), base64.urlsafe_b64encode(metadata))
