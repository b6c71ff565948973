import pytest

from fastrouter.net.address import Address, parse_backend_address, parse_listen_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("app.internal:65535", Address("app.internal", 65535)),
        ("[::1]:443", Address("::1", 443)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
    ],
)
def test_both_kinds_are_host_and_port(text: str, address: Address) -> None:
    assert parse_listen_address(text) == address
    assert parse_backend_address(text) == address
    assert str(address) == text


def test_only_a_listener_may_leave_host_or_port_to_the_kernel() -> None:
    assert parse_listen_address(":8081") == Address("", 8081)
    assert parse_listen_address("127.0.0.1:0") == Address("127.0.0.1", 0)
    with pytest.raises(ValueError, match="has no host"):
        parse_backend_address(":8081")
    with pytest.raises(ValueError, match="expected a number from 1 to 65535"):
        parse_backend_address("127.0.0.1:0")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "has no port"),
        ("127.0.0.1", "has no port"),
        ("127.0.0.1:", "no valid port"),
        ("127.0.0.1:http", "no valid port"),
        ("127.0.0.1:65536", "from 0 to 65535"),
        ("127.0.0.1:-1", "no valid port"),
        ("127.0.0.1:+1", "no valid port"),
        ("127.0.0.1:1_0", "no valid port"),
        ("127.0.0.1:٣", "no valid port"),
        ("::1:80", "stands in brackets"),
        ("[127.0.0.1]:80", "stands in brackets"),
        ("[::1:80", "stands in brackets"),
        ("a b:80", "a character that no host name has"),
        ("http://a:80", "stands in brackets"),
        ("ä:80", "a character that no host name has"),
        ("a\x00:80", "a character that no host name has"),
        ("a/b:80", "a character that no host name has"),
    ],
)
def test_the_broken_rule_is_named(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as raised:
        parse_listen_address(text)
    assert repr(text) in str(raised.value)
