"""Keys of Gorouters before and after the one of April 2025, translated into its keys (spec 2.6)."""

from collections.abc import Container
from typing import Any

import msgspec

from fastrouter.config.decoding import Findings, decode
from fastrouter.config.document import Node
from fastrouter.config.keys import CURRENT, Config
from fastrouter.config.section import Int, Section

# What `enable_attempts_details` stood for.
ATTEMPT_FIELDS = ("failed_attempts", "failed_attempts_time", "dns_time", "dial_time", "tls_time", "backend_time")


class _OldLogging(Section, frozen=True, kw_only=True):
    enable_attempts_details: bool = False


class _OldKeys(Section, frozen=True, kw_only=True):
    max_header_bytes: Int = 0
    logging: _OldLogging = _OldLogging()


# Keys that are none of this Gorouter and nevertheless meant: the old ones, and one that BOSH's job renders for itself.
_PATHS_OF_OTHERS = frozenset({"max_header_bytes", "logging.enable_attempts_details", "ip_local_port_range"})


def translate(root: Node | None, config: Config, findings: Findings) -> Config:
    """Apply the keys of other generations in `root` where the keys of this one are absent.

    A key that is set from one of another name is added to the lines of `findings`, and is not unknown. What is wrong
    with those keys is added to the faults. Where `gorouter_generation` asks for it, defaults are those of later ones.
    """
    lines = findings.lines
    old, (old_lines, _, old_faults) = decode(root, _OldKeys())
    known_faults = {(fault.key, fault.text) for fault in findings.faults}
    findings.faults.extend(fault for fault in old_faults if (fault.key, fault.text) not in known_faults)
    findings.unknown[:] = [unknown for unknown in findings.unknown if unknown.path not in _PATHS_OF_OTHERS]
    replace = msgspec.structs.replace
    changes: dict[str, Any] = {}
    key, old_key = "max_request_header_bytes", "max_header_bytes"
    if old_key in old_lines and key not in lines:
        lines[key] = old_lines[old_key]
        changes[key] = old.max_header_bytes
    key, old_key = "logging.extra_access_log_fields", "logging.enable_attempts_details"
    if old.logging.enable_attempts_details and key not in lines:
        lines[key] = old_lines[old_key]
        changes["logging"] = replace(config.logging, extra_access_log_fields=ATTEMPT_FIELDS)
    # A port alone turned it on in 2024.
    if config.prometheus.port and "prometheus.enabled" not in lines:
        changes["prometheus"] = replace(config.prometheus, enabled=True)
    if config.oauth.port == -1:
        changes["oauth"] = replace(config.oauth, port=0)
    if config.domains:
        changes["domains"] = tuple(replace(domain, name=domain.name or domain.domain) for domain in config.domains)
    config = replace(config, **changes)
    return _with_current_defaults(config, lines) if config.gorouter_generation == CURRENT else config


def _with_current_defaults(config: Config, given: Container[str]) -> Config:
    """Return `config` with the defaults of Gorouters after April 2025 for the keys that are not `given` (spec 9)."""
    replace = msgspec.structs.replace
    if "sticky_session_metadata" not in given:
        config = replace(config, sticky_session_metadata=True)
    if "prometheus.gauges" not in given:
        config = replace(config, prometheus=replace(config.prometheus, gauges=True))
    if "logging.format.timestamp" not in given:
        rfc3339 = replace(config.logging.format, timestamp="rfc3339")
        config = replace(config, logging=replace(config.logging, format=rfc3339))
    return config
