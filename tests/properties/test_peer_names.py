"""Which names a certificate is for, against a model written label by label from Go's rules (spec 5.6)."""

import string

from hypothesis import given
from hypothesis import strategies as st

from fastrouter.tls.peer_certificate import name_mismatch

LETTERS = set(string.ascii_letters + string.digits + "-_")
labels = st.text("aB1-_*. \u212a", max_size=3)
names = st.lists(labels, max_size=3).map(".".join)


def is_host_name(text: str, *, is_pattern: bool) -> bool:
    for index, label in enumerate(text.split(".")):
        if is_pattern and index == 0 and label == "*":
            continue
        if not label or label[0] == "-" or not set(label) <= LETTERS:
            return False
    return text != "*"


def covers(pattern: str, name: str) -> bool:
    pattern, bare = pattern.lower(), name.lower().removesuffix(".")
    if not (is_host_name(pattern, is_pattern=True) and is_host_name(bare, is_pattern=False)):
        return pattern == name.lower() not in ("", ".")
    ours, theirs = pattern.split("."), bare.split(".")
    return len(ours) == len(theirs) and ours[1:] == theirs[1:] and ours[0] in ("*", theirs[0])


@given(st.lists(names.filter(str.isascii), max_size=3), names)
def test_names(alternatives: list[str], name: str) -> None:
    certificate = {"subjectAltName": tuple(("DNS", one) for one in alternatives)}
    expected = name.isascii() and any(covers(one, name) for one in alternatives)
    assert (name_mismatch(certificate, name) == "") == expected


@given(st.lists(st.ip_addresses(), max_size=3), st.ip_addresses(), st.booleans())
def test_addresses(alternatives: list[object], address: object, is_one: bool) -> None:
    shown = [*alternatives, address] if is_one else [one for one in alternatives if one != address]
    certificate = {"subjectAltName": tuple(("IP Address", str(one).upper()) for one in shown)}
    assert (name_mismatch(certificate, str(address)) == "") == is_one
