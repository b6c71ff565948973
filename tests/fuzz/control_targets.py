"""What the control process takes from outside: registrations, the configuration file, error pages' templates."""

import json
from typing import Any
from unittest import mock

from fastrouter._core import RouteTable
from fastrouter.config import Config, ConfigError, parse, validation
from fastrouter.gotemplate.error_template import ErrorTemplate
from fastrouter.gotemplate.parser import ErrorTemplateError
from fastrouter.gotemplate.values import ExecutionError
from fastrouter.ipc.table_changes import Change, encode_changes
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.registration import MessageError, decode_registration
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.worker.table_applier import TableApplier
from kept_lines import KeptLines

# It must be written as something else in every place of a page.
MARK = "<m4rk>"
HEADER = {"X-Cf-Routererror": "unknown_route", "Date": "Sat, 28 Nov 2026 12:00:00 GMT"}


def check_registration(data: bytes) -> None:
    """Somebody publishes anything as a registration, and it goes all the way into a worker's table, and out again."""
    try:
        registration = decode_registration(data)
    except MessageError:
        return
    # What the fast decoder takes, Python's own takes for the same, but for names that are there twice.
    document: dict[str, Any] = json.loads(data)
    if document is not None and set(document) <= set(registration.__struct_fields__) and None not in document.values():
        assert document.get("app", "") == registration.app
        assert document.get("port", 0) == registration.port
    changes: list[Change] = []
    logger = Logger("router", level=Level.DEBUG, writer=KeptLines())
    registry = RouteRegistry(logger, changes.append)
    endpoint = registry.new_endpoint(registration)
    table = RouteTable()
    applier = TableApplier(table)
    for act in (registry.register, registry.unregister):
        for uri in registration.uris:
            act(uri, endpoint)
        for frame in encode_changes(changes):
            applier.feed(frame)
        changes.clear()
        assert len(json.loads(b"".join(registry.routes_json()))) == len(registry) == len(table)
    assert len(table) == 0


def check_config(data: bytes) -> None:
    """An operator writes anything into the configuration file."""
    with mock.patch.object(validation, "local_ip", return_value="192.0.2.7"):
        try:
            config = parse(data)
        except ConfigError:
            return
    assert isinstance(config, Config)


def check_template(data: bytes) -> None:
    """An operator writes any template, and a client has any message shown in it."""
    text = data.decode("utf-8", "replace")
    try:
        template = ErrorTemplate(text)
        page = template.render(404, "Not Found", f"a{MARK}'\"`\\ {MARK}", HEADER)
    except (ErrorTemplateError, ExecutionError):
        return
    assert MARK in text or MARK not in page.decode(), page
