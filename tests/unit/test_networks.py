import pytest

from fastrouter.net.networks import Networks


@pytest.mark.parametrize(
    ("networks", "address", "is_in"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", False),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.9.8.7/8"], "10.1.2.3", True),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.7"], "192.0.2.8", False),
        (["fd00::/8", "10.0.0.0/8"], "fd00::1", True),
        (["::/0"], "10.1.2.3", False),
        (["0.0.0.0/0"], "fe80::1%lo", False),
        ([], "10.1.2.3", False),
    ],
)
def test_contains(networks: list[str], address: str, is_in: bool) -> None:
    assert (address in Networks(networks)) is is_in


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "host", "10.0.0"])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Networks([text])
