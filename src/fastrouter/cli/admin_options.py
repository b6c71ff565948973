"""From the section `admin` of the configuration to the options of the admin API, and what is wrong with it."""

import hashlib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from fastrouter.config import Config, ConfigError
from fastrouter.config.decoding import line_of
from fastrouter.config.reference import as_document
from fastrouter.config.sections import ADMIN_TOKEN_MIN, AdminTLS, AdminToken
from fastrouter.control.options import AdminOptions
from fastrouter.ipc.admin_messages import Token
from fastrouter.ipc.messages import Identity, ServerTLS
from fastrouter.logs.error_text import error_text
from fastrouter.net.address import Address, parse_listen_address
from fastrouter.registry.static_routes import RoutesError, load_routes_file
from fastrouter.tls.server import ServerTLSError, try_server_tls

# The value of `admin.socket` that stands for the place where commands look.
AUTO = "auto"


def admin_of(config: Config) -> tuple[AdminOptions | None, list[ConfigError]]:
    """Return the options of the admin API (None: there is none), and all that keeps the router from starting."""
    if not config.has_admin:
        return None, []
    admin = config.admin
    faults: list[ConfigError] = []
    tokens = []
    for index, given in enumerate(admin.tokens):
        try:
            tokens.append(_token_of(index, given))
        except (OSError, ValueError) as error:
            faults.append(_fault(config, error_text(error), f"admin.tokens[{index}].token_file"))
    address = None
    try:
        address = admin_address(config)
    except ValueError as error:
        faults.append(_fault(config, str(error), "admin.listen"))
    tls = _tls_of(admin.tls) if admin.tls.cert_chain else None
    faults += _faults_of_tls(config, tls)
    faults += _faults_of_routes_file(config)
    options = AdminOptions(
        socket=admin.socket if admin.socket not in ("", AUTO) else None,
        listen=address,
        tokens=tokens,
        hosts=[*admin.hosts, *([address.host] if address is not None and address.host else [])],
        tls=tls,
        client_role=admin.tls.client_role,  # type: ignore[arg-type]  # validated
        routes_file=admin.routes_file or None,
        configuration=as_document(config),
    )
    return options, faults


def admin_address(config: Config) -> Address | None:
    """Return where the admin API listens besides its socket, None if it does not. Raises ValueError."""
    if not config.admin.listen:
        return None
    address = parse_listen_address(config.admin.listen)
    if not config.admin.tls.cert_chain and not _is_loopback(address.host):
        raise ValueError(f"{address} is not on loopback: there the admin API is served with admin.tls only")
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token_of(index: int, given: AdminToken) -> Token:
    text = given.token or Path(given.token_file).read_text(encoding="ascii").strip()
    if len(text) < ADMIN_TOKEN_MIN:
        raise ValueError(f"{given.token_file}: a token must have at least {ADMIN_TOKEN_MIN} characters")
    digest = hashlib.sha256(text.encode()).digest()
    return Token(digest, given.role, given.name or f"token {index + 1}")  # type: ignore[arg-type]  # validated


def _tls_of(given: AdminTLS) -> ServerTLS:
    from fastrouter.config.certificates import identity_of  # noqa: PLC0415 80 ms that few files need

    return ServerTLS(
        identities=(Identity(*identity_of(given.cert_chain), given.cert_chain, given.private_key),),
        client_certificates="require" if given.client_ca_certs else "none",
        client_ca_certs=given.client_ca_certs,
    )


def _faults_of_tls(config: Config, tls: ServerTLS | None) -> Iterator[ConfigError]:
    if tls is not None:
        try:
            try_server_tls(tls)
        except (ServerTLSError, OSError) as error:
            yield _fault(config, error_text(error), "admin.tls.cert_chain")


def _faults_of_routes_file(config: Config) -> Iterator[ConfigError]:
    path = config.admin.routes_file
    try:
        if path and Path(path).exists():
            load_routes_file(path)
    except (RoutesError, OSError) as error:
        yield _fault(config, error_text(error), "admin.routes_file")


def _fault(config: Config, text: str, key: str) -> ConfigError:
    return ConfigError(text, key, line_of(key, config.derived.lines))
