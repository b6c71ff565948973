"""The slots of a route that is balanced by hash, against a plain model of spec 9.1."""

from collections import Counter
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrouter._core import Endpoint, MaglevTable

SLOTS = 3001


def fnv1a(text: str) -> int:
    digest = 0xCBF29CE484222325
    for byte in text.encode():
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return digest


def model_of(identities: list[str]) -> list[str]:
    """Fill the slots by the words of spec 9.1."""
    owners: list[str | None] = [None] * SLOTS
    members = sorted(set(identities))
    orders = []
    for member in members:
        digest = fnv1a(member)
        offset, skip = digest % SLOTS, digest % (SLOTS - 1) + 1
        orders.append(iter([(offset + at * skip) % SLOTS for at in range(SLOTS)]))
    while None in owners:
        for member, order in zip(members, orders, strict=True):
            slot = next((slot for slot in order if owners[slot] is None), None)
            if slot is None:
                break
            owners[slot] = member
    return [owner for owner in owners if owner is not None]


def endpoint_of(identity: str) -> Endpoint:
    return Endpoint("10.0.0.1", 80, instance_id=identity)


def owners_of(identities: list[str]) -> list[str]:
    table = MaglevTable([endpoint_of(identity) for identity in identities])
    assert table.fill()
    return [owner.instance_id for owner in table.owners() if owner is not None]


def test_the_hash_is_fnv_1a() -> None:
    # Test vectors of the hash's authors (draft-eastlake-fnv, appendix C); the model rests on them.
    assert [fnv1a(text) for text in ("", "a", "foobar")] == [
        0xCBF29CE484222325,
        0xAF63DC4C8601EC8C,
        0x85944171F73967E8,
    ]


@given(st.lists(st.uuids().map(str), min_size=1, max_size=40))
@settings(max_examples=30)
def test_slots_are_those_of_the_model(identities: list[str]) -> None:
    assert owners_of(identities) == model_of(identities)


@given(st.lists(st.uuids().map(str), min_size=2, max_size=60, unique=True))
def test_weights_are_equal(identities: list[str]) -> None:
    counts = Counter(owners_of(identities)).values()
    assert len(counts) == len(identities)
    assert max(counts) - min(counts) <= 1


@given(st.permutations([str(number) for number in range(12)]))
def test_the_order_of_registration_does_not_count(identities: list[str]) -> None:
    assert owners_of(identities) == owners_of(sorted(identities))


def moved_beyond_the_lost(identities: list[str], gone: str) -> float:
    """The share of the slots of other endpoints that lead elsewhere without `gone`."""
    before = owners_of(identities)
    after = owners_of([identity for identity in identities if identity != gone])
    return sum(1 for one, other in zip(before, after, strict=True) if one not in (gone, other)) / SLOTS


@given(st.lists(st.uuids().map(str), min_size=2, max_size=60, unique=True), st.data())
def test_few_slots_change_their_endpoint_with_one_that_comes_or_goes(
    identities: list[str], data: st.DataObject
) -> None:
    # The slots of the one that is gone, 1/n of all, get other owners. Some others change hands on the way.
    assert moved_beyond_the_lost(identities, data.draw(st.sampled_from(identities))) <= 0.25


@pytest.mark.parametrize("count", [2, 5, 10, 30, 100])
def test_on_average_hardly_any_others_change_hands(count: int) -> None:
    random = Random(count)
    shares = []
    for _ in range(20):
        identities = [str(UUID(int=random.getrandbits(128))) for _ in range(count)]
        shares.append(moved_beyond_the_lost(identities, random.choice(identities)))
    assert sum(shares) / len(shares) <= 0.04


def test_each_identity_counts_once_and_the_last_endpoint_has_it() -> None:
    last = Endpoint("10.0.0.9", 80, instance_id="one")
    table = MaglevTable([endpoint_of("one"), endpoint_of("two"), last])
    assert table.fill()
    owners = {owner for owner in table.owners() if owner is not None}
    assert {(owner.instance_id, owner.address) for owner in owners} == {("one", "10.0.0.9:80"), ("two", "10.0.0.1:80")}


def test_without_an_instance_id_the_address_is_the_identity() -> None:
    addresses = [f"10.0.0.1:{port}" for port in (1, 2, 3)]
    table = MaglevTable([Endpoint("10.0.0.1", port) for port in (1, 2, 3)])
    assert table.fill()
    assert [owner.address for owner in table.owners() if owner is not None] == model_of(addresses)


def test_it_is_filled_in_steps() -> None:
    identities = [str(number) for number in range(50)]
    table = MaglevTable([endpoint_of(identity) for identity in identities])
    steps = 1
    while not table.fill(100):
        steps += 1
        assert None in table.owners()
    assert steps > 5
    assert [owner.instance_id for owner in table.owners() if owner is not None] == owners_of(identities)


@pytest.mark.parametrize("count", [SLOTS, SLOTS + 500])
def test_endpoints_beyond_the_slots_have_none(count: int) -> None:
    identities = [str(number) for number in range(count)]
    owners = owners_of(identities)
    assert Counter(owners) == Counter(sorted(identities)[:SLOTS])


def test_no_endpoints() -> None:
    assert MaglevTable([]).fill()
