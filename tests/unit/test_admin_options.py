"""The section `admin` of a configuration: what it becomes, and what is wrong with it."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_rules import PAIR, Pems
from fastrouter.cli.admin_options import admin_of
from fastrouter.config import parse
from fastrouter.control.options import AdminOptions
from fastrouter.ipc.admin_messages import Token
from fastrouter.net.address import Address

pytestmark = pytest.mark.usefixtures("local_ip")
TOKEN = {"token": "0123456789abcdef"}


def admin(pems: Pems | None = None, **section: Any) -> tuple[AdminOptions | None, list[tuple[str, str]]]:
    document = {"admin": section}
    options, faults = admin_of(parse(yaml.safe_dump(pems.fill(document) if pems else document).encode()))
    return options, [(fault.key, fault.text) for fault in faults]


def test_without_a_place_there_is_none() -> None:
    assert admin() == (None, [])
    assert admin(tokens=[TOKEN]) == (None, [])


@pytest.mark.parametrize(("given", "path"), [("auto", None), ("/run/admin.sock", "/run/admin.sock")])
def test_socket(given: str, path: str | None) -> None:
    options, faults = admin(socket=given)
    assert faults == []
    assert options is not None
    assert (options.socket, options.listen, options.tls) == (path, None, None)


def test_tokens(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("fedcba9876543210\n")
    options, faults = admin(
        listen="127.0.0.1:9099",
        hosts=["admin.test"],
        tokens=[TOKEN, {"name": "ops", "token_file": str(file), "role": "operate"}],
    )
    assert faults == []
    assert options is not None
    assert options.listen == Address("127.0.0.1", 9099)
    assert list(options.hosts) == ["admin.test", "127.0.0.1"]
    assert options.tokens == [
        Token(hashlib.sha256(b"0123456789abcdef").digest(), "read", "token 1"),
        Token(hashlib.sha256(b"fedcba9876543210").digest(), "operate", "ops"),
    ]


def test_client_certificates(pems: Pems) -> None:
    options, faults = admin(pems, listen=":9099", tls={**PAIR, "client_ca_certs": "<ca>", "client_role": "operate"})
    assert faults == []
    assert options is not None
    assert options.tls is not None
    assert (options.tls.client_certificates, options.client_role) == ("require", "operate")


@pytest.mark.parametrize("listen", [":9099", "0.0.0.0:9099", "10.0.0.1:9099", "router.test:9099"])
def test_beyond_loopback_it_takes_tls(listen: str, pems: Pems) -> None:
    _, ((key, text),) = admin(listen=listen, tokens=[TOKEN])
    assert key == "admin.listen"
    assert "not on loopback" in text
    assert admin(pems, listen=listen, tokens=[TOKEN], tls=PAIR)[1] == []


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "[::1]:1", "localhost:1"])
def test_on_loopback_it_does_not(listen: str) -> None:
    assert admin(listen=listen, tokens=[TOKEN])[1] == []


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("0123456789abcde\n")
    routes = tmp_path / "routes.yml"
    routes.write_text("routes: [{route: a.test}]")
    _, faults = admin(
        listen="127.0.0.1",
        tokens=[{"token_file": str(tmp_path / "none")}, {"token_file": str(short)}],
        routes_file=str(routes),
    )
    assert [key for key, _ in faults] == [
        "admin.tokens[0].token_file",
        "admin.tokens[1].token_file",
        "admin.listen",
        "admin.routes_file",
    ]
    # A file that is not there yet is made with the first route.
    assert admin(socket="auto", routes_file=str(tmp_path / "later.yml"))[1] == []
