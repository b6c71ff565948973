"""How the text of a configuration file is read (spec 2.1), and the keys of other Gorouters (spec 2.6)."""

import math
from typing import Any

import msgspec
import pytest

from fastrouter.config import Config, ConfigError, parse, validation
from fastrouter.config.document import MAX_DEPTH
from fastrouter.config.duration import Duration
from fastrouter.config.generations import ATTEMPT_FIELDS
from fastrouter.config.keys import Derived
from fastrouter.config.sections import HeaderName, HeaderValue, KeyPair, NatsHost


@pytest.fixture(autouse=True)
def local_ip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Need no network."""
    monkeypatch.setattr(validation, "local_ip", lambda: "192.0.2.7")


def keys(text: str) -> Config:
    """The keys of a file; what is derived beside them would tell different texts of one meaning apart."""
    return msgspec.structs.replace(parse(text.encode()), derived=Derived())


DEFAULTS = keys("")


def failure(text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        parse(text.encode() if isinstance(text, str) else text)
    return raised.value


@pytest.mark.parametrize("text", ["", "# a comment", "---", "{}", "null", "~\n...\n", "\ufeff", "--- {}\n--- ][\n"])
def test_an_empty_file_gives_the_defaults(text: str) -> None:
    assert keys(text) == DEFAULTS


@pytest.mark.parametrize(
    "text",
    [
        "ip_local_port_range: 1024 65535",
        "status: {unknown: {a: [b]}, tls: {x: 1}}",
        "routing_api: {clientauthcertificate: {certificate: [], privatekey: null}}",
        "unknown: {? [a, b] : c, 1: 2, null: 3}",
        "1: 2\nnull: 3\ntrue: 4",
    ],
)
def test_unknown_keys_are_ignored(text: str) -> None:
    assert keys(text) == DEFAULTS


def test_given_keys_replace_defaults_and_others_stay() -> None:
    config = keys("status: {port: 0, routes: {port: 9}}\nenable_http2: false\nhealthcheck_user_agent: ''")
    assert (config.status.port, config.status.routes.port) == (0, 9)
    assert (config.status.host, config.status.tls.port) == ("0.0.0.0", 8443)
    assert not config.enable_http2
    assert config.healthcheck_user_agent == ""


@pytest.mark.parametrize("null", ["null", "~", "", "Null", "NULL", "!!null ''"])
def test_null_leaves_scalars_and_sections_and_empties_lists(null: str) -> None:
    text = "\n".join(
        f"{key}: {null}"
        for key in ("port", "zone", "enable_ssl", "drain_wait", "status", "sticky_session_cookie_names", "ca_certs")
    )
    config = keys(f"{text}\nnats:\n  hosts: {null}\n  user: {null}\n")
    assert config.sticky_session_cookie_names == frozenset()
    assert config.nats.hosts == ()
    nats = msgspec.structs.replace(config.nats, hosts=DEFAULTS.nats.hosts)
    assert (
        msgspec.structs.replace(
            config, nats=nats, sticky_session_cookie_names=DEFAULTS.sticky_session_cookie_names, ca_certs=()
        )
        == DEFAULTS
    )


def test_null_items_are_left_out() -> None:
    assert keys("isolation_segments: [a, null, ~, b]").isolation_segments == ("a", "b")
    assert keys("nats: {hosts: [null, {port: 5}]}").nats.hosts == (NatsHost(port=5),)


def test_lists_replace_lists_and_their_items_have_no_defaults() -> None:
    config = keys("nats: {hosts: [{hostname: a, port: 1}, {hostname: b}]}\nsticky_session_cookie_names: [A, B, A]")
    assert config.nats.hosts == (NatsHost(hostname="a", port=1), NatsHost(hostname="b", port=0))
    assert config.sticky_session_cookie_names == {"A", "B"}
    config = keys("prometheus: {meters: {http_latency_histogram_buckets: [1, 2.5, 0x10, .inf]}}")
    assert config.prometheus.meters.http_latency_histogram_buckets == (1.0, 2.5, 16.0, math.inf)


def test_lists_of_sections() -> None:
    config = keys(
        """
        tls_pem:
        - {cert_chain: a, private_key: b}
        -
          cert_chain: c
        http_rewrite:
          responses:
            add_headers_if_not_present: [{name: X-A, value: 1}]
            remove_headers: [{name: X-B}]
        """
    )
    assert config.tls_pem == (KeyPair(cert_chain="a", private_key="b"), KeyPair(cert_chain="c"))
    assert config.http_rewrite.responses.add_headers_if_not_present == (HeaderValue(name="X-A", value="1"),)
    assert config.http_rewrite.responses.remove_headers == (HeaderName(name="X-B"),)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22", "22"),
        ("0x16", "0x16"),
        ("010", "010"),
        ("1.50", "1.50"),
        ("true", "true"),
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("12e34", "12e34"),
        (".nan", ".nan"),
        ("=", "="),
        ("<<", "<<"),
        ("'null'", "null"),
        ("'~'", "~"),
        ("''", ""),
        ("!!str 22", "22"),
        ("!!str", ""),
        ("! 22", "22"),
        ("!!int 22", "22"),
        ("!!float 22", "22"),
        ("!!timestamp 2001-01-01", "2001-01-01"),
        ('"a\\nb"', "a\nb"),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
    ],
)
def test_every_scalar_is_a_text(text: str, value: str) -> None:
    assert keys(f"trace_key: {text}").trace_key == value


@pytest.mark.parametrize("quote", ["", "'"])
@pytest.mark.parametrize("word", ["yes", "Yes", "YES", "on", "On", "ON", "y", "Y"])
def test_words_for_true(word: str, quote: str) -> None:
    assert keys(f"enable_proxy: {quote}{word}{quote}").enable_proxy


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("word", ["no", "No", "NO", "off", "Off", "OFF", "n", "N"])
def test_words_for_false(word: str, quote: str) -> None:
    assert not keys(f"enable_http2: {quote}{word}{quote}").enable_http2


@pytest.mark.parametrize(
    ("text", "value"), [(f"{t}{r}", t in "tT") for t, r in (("t", "rue"), ("T", "rue"), ("F", "ALSE"))]
)
def test_bools(text: str, value: bool) -> None:
    assert keys(f"enable_http2: {text}").enable_http2 is value


@pytest.mark.parametrize("text", ["'true'", "1", "0", "yEs", "tRUE", "''", "[true]", "{a: b}", "1.0"])
def test_what_is_no_bool(text: str) -> None:
    error = failure(f"enable_http2: {text}")
    assert error.text.startswith("yaml: expected true or false, found ")
    assert (error.key, error.line) == ("enable_http2", 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080", 8080),
        ("+80", 80),
        ("0", 0),
        ("-0", 0),
        ("80.0", 80),
        ("8e3", 8000),
        ("8_0", 80),
        ("0x50", 80),
        ("0X50", 80),
        ("0o120", 80),
        ("0120", 80),
        ("0b101", 5),
        ("!!int 80", 80),
        ("!!int '80'", 80),
        ("!!float 80", 80),
        ("080", 80),
    ],
)
def test_integers(text: str, value: int) -> None:
    assert keys(f"port: {text}").port == value


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1:30", "`1:30`"),
        ("'80'", "`80`"),
        ("eighty", "`eighty`"),
        ("80.5", "`80.5`"),
        (".inf", "`.inf`"),
        ("-.Inf", "`-.Inf`"),
        (".nan", "`.nan`"),
        ("1e999", "`1e999`"),
        ("true", "`true`"),
        ("''", "``"),
        ("2001-01-01", "`2001-01-01`"),
        ("0x", "`0x`"),
        ("0b2", "`0b2`"),
        ("--1", "`--1`"),
        ("x" * 50, f"`{'x' * 37}...`"),
        ("1" * 4999, f"`{'1' * 37}...`"),
        ("[80]", "a list"),
        ("{80: 80}", "a mapping"),
    ],
)
def test_what_is_no_integer(text: str, what: str) -> None:
    error = failure(f"port: {text}")
    assert (error.text, error.key) == (f"yaml: expected an integer, found {what}", "port")


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("port", 0, 65535),
        ("index", 0, 2**64 - 1),
        ("token_fetcher_max_retries", 0, 2**32 - 1),
        ("max_idle_conns", -(2**63), 2**63 - 1),
    ],
)
def test_width(key: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(keys(f"{key}: {value}"), key) == value
    for text in (f"{low - 1}", f"{high + 1}", f"{high + 1}.0"):
        assert failure(f"{key}: {text}").text == f"yaml: expected an integer from {low} to {high}, found `{text}`"


@pytest.mark.parametrize("text", ["60s", "'60s'", "1m", '"1m0s"', "60000ms", "!!str 60s", "+60s", "0.5m30s"])
def test_durations(text: str) -> None:
    assert keys(f"drain_wait: {text}").drain_wait == Duration.of(60)


def test_a_duration_of_nothing() -> None:
    for text in ("'0'", "0s", "-0s", '"0ms"'):
        assert keys(f"prune_stale_droplets_interval: {text}").prune_stale_droplets_interval == 0


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0", 'yaml: expected a duration with its unit, such as "60s", found `0`'),
        ("60", 'yaml: expected a duration with its unit, such as "60s", found `60`'),
        ("1.5", 'yaml: expected a duration with its unit, such as "60s", found `1.5`'),
        ("true", 'yaml: expected a duration with its unit, such as "60s", found `true`'),
        ("[1s]", 'yaml: expected a duration with its unit, such as "60s", found a list'),
        ("'60'", 'time: missing unit in duration "60"'),
        ("!!str 60", 'time: missing unit in duration "60"'),
        ("''", 'time: invalid duration ""'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
        ("1:30", 'time: unknown unit ":" in duration "1:30"'),
    ],
)
def test_what_is_no_duration(text: str, rule: str) -> None:
    error = failure(f"port: 1\ndrain_wait: {text}")
    assert (error.text, error.key, error.line) == (rule, "drain_wait", 2)


@pytest.mark.parametrize(
    ("text", "rule", "key", "line"),
    [
        ("[]", "yaml: expected a mapping, found a list", "", 1),
        ("gorouter", "yaml: expected a mapping, found `gorouter`", "", 1),
        ("status: []", "yaml: expected a mapping, found a list", "status", 1),
        ("status:\n  tls: x", "yaml: expected a mapping, found `x`", "status.tls", 2),
        ("status: ''", "yaml: expected a mapping, found ``", "status", 1),
        ("ca_certs: x", "yaml: expected a list, found `x`", "ca_certs", 1),
        ("ca_certs: {}", "yaml: expected a list, found a mapping", "ca_certs", 1),
        ("ca_certs:\n- a\n- []", "yaml: expected a text, found a list", "ca_certs[1]", 3),
        ("zone: {}", "yaml: expected a text, found a mapping", "zone", 1),
        ("nats:\n  hosts:\n  - port: x", "yaml: expected an integer, found `x`", "nats.hosts[0].port", 3),
        ("nats: {hosts: [a]}", "yaml: expected a mapping, found `a`", "nats.hosts[0]", 1),
        ("[a]: b", "yaml: expected a name, found a list", "", 1),
        (
            "prometheus: {meters: {http_latency_histogram_buckets: [x]}}",
            "yaml: expected a number, found `x`",
            "prometheus.meters.http_latency_histogram_buckets[0]",
            1,
        ),
        ("zone: !!int x", "yaml: cannot decode `x` as a int", "zone", 1),
        ("zone: !!int true", "yaml: cannot decode `true` as a int", "zone", 1),
        ("zone: !mine x", "yaml: cannot decode `x` as a !mine", "zone", 1),
        ("zone: !!binary eA==", "yaml: cannot decode `eA==` as a binary", "zone", 1),
        ("ca_certs: !!int x", "yaml: cannot decode `x` as a int", "ca_certs", 1),
        ("port: 1\nzone: a\nport: 2", 'yaml: mapping key "port" already defined at line 1', "port", 3),
        ("status: {x: 1,\n x: 2}", 'yaml: mapping key "x" already defined at line 1', "status.x", 2),
    ],
)
def test_what_does_not_fit(text: str, rule: str, key: str, line: int) -> None:
    error = failure(text)
    assert (error.text, error.key, error.line) == (rule, key, line)


def test_anchors_and_merges() -> None:
    config = keys(
        """
        base: &base {port: 1, user: base, pass: base}
        more: &more
          <<: *base
          user: more
        status:
          <<: [*more, {host: listed, port: 2}]
          pass: own
        zone: &zone z1
        trace_key: *zone
        """
    )
    status = config.status
    assert (status.port, status.user, status.pass_, status.host) == (1, "more", "own", "listed")
    assert config.trace_key == "z1"


def test_a_quoted_merge_is_a_key() -> None:
    assert keys("'<<': {port: 1}") == DEFAULTS


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("a: *b", "yaml: unknown anchor 'b' referenced", 1),
        ("a: &a\n  b: *a", "yaml: anchor 'a' value contains itself", 2),
        ("<<: x", "yaml: map merge requires map or sequence of maps as the value", 1),
        ("<<: [[]]", "yaml: map merge requires map or sequence of maps as the value", 1),
        ("status: [", "yaml: did not find expected node content", 2),
        ("a:\n\t- b", "yaml: found character that cannot start any token", 2),
        ("%YAML 3.0\n--- a", "yaml: found incompatible YAML document", 1),
        ("[" * (MAX_DEPTH + 1), f"yaml: exceeded max depth of {MAX_DEPTH}", 1),
        (b"a: \xff", "yaml: unacceptable character #x00ff: invalid leading UTF-8 octet in", None),
        (b"a: \x00", "yaml: unacceptable character #x0000: control characters are not allowed in", None),
    ],
)
def test_what_is_no_yaml(text: str | bytes, rule: str, line: int | None) -> None:
    error = failure(text)
    assert error.text.startswith(rule)
    assert (error.key, error.line) == ("", line)


def test_merges_do_not_multiply() -> None:
    """Each level names the one before it ten times: a naive reader would merge 10^40 mappings."""
    levels = ["l0: &l0 {port: 7}", *(f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 10)}]}}" for n in range(1, 40))]
    assert keys("\n".join([*levels, "<<: *l39"])).port == 7
    chain = ["l0: &l0 {port: 7}", *(f"l{n}: &l{n} {{<<: *l{n - 1}}}" for n in range(1, 3000))]
    assert keys("\n".join([*chain, "<<: *l2999"])).port == 7


def test_the_first_error_of_the_file_is_told() -> None:
    assert failure("zone: []\nport: x\nstatus: {port: y}").key == "zone"
    assert failure("zone: a\nstatus: {tls: {port: x}, port: y}\nport: x").key == "status.tls.port"


def test_only_the_first_document_counts() -> None:
    assert keys("port: 1\n---\nport: 2").port == 1


def test_utf_16() -> None:
    assert parse("zone: zöne".encode("utf-16")).zone == "zöne"


def test_max_header_bytes() -> None:
    assert keys("max_header_bytes: 4096").max_request_header_bytes == 4096
    assert keys("max_header_bytes: 4096\nmax_request_header_bytes: 0").max_request_header_bytes == 0
    assert "max_request_header_bytes" in parse(b"max_header_bytes: 4096").derived.lines
    assert failure("max_header_bytes: x").key == "max_header_bytes"


def test_enable_attempts_details() -> None:
    fields = ("failed_attempts", "failed_attempts_time", "dns_time", "dial_time", "tls_time", "backend_time")
    assert fields == ATTEMPT_FIELDS
    config = keys("logging: {enable_attempts_details: true, syslog: a}")
    assert (config.logging.extra_access_log_fields, config.logging.syslog) == (fields, "a")
    assert keys("logging: {enable_attempts_details: false}") == DEFAULTS
    both = keys("logging: {enable_attempts_details: true, extra_access_log_fields: [dns_time]}")
    assert both.logging.extra_access_log_fields == ("dns_time",)


@pytest.mark.parametrize(
    ("text", "is_enabled"),
    [
        ("{port: 7070}", True),
        ("{port: 0}", False),
        ("{port: 7070, enabled: false}", False),
        ("{port: 0, enabled: true}", True),
        ("{cert_path: x}", False),
    ],
)
def test_prometheus_without_enabled(text: str, is_enabled: bool) -> None:
    assert keys(f"prometheus: {text}").prometheus.enabled is is_enabled


def test_oauth_port() -> None:
    assert keys("oauth: {port: -1}") == DEFAULTS
    assert keys("oauth: {port: 8443}").oauth.port == 8443
    assert failure("oauth: {port: -2}").key == "oauth.port"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http_1_endpoint_timeout: 1s", ("http_1_endpoint_timeout", Duration.of(1))),
        ("http_2_endpoint_timeout: 2s", ("http_2_endpoint_timeout", Duration.of(2))),
        ("keep_alive_100_continue_requests: true", ("keep_alive_100_continue_requests", True)),
    ],
)
def test_keys_of_later_and_earlier_ones(text: str, value: tuple[str, Any]) -> None:
    assert getattr(keys(text), value[0]) == value[1]


def test_route_service_keys_of_later_ones() -> None:
    config = keys("route_services: {enable_websockets: true, egress_blocklist: [10.0.0.0/8, '::1', 192.0.2.1/24]}")
    assert config.route_services.enable_websockets
    assert config.route_services.egress_blocklist == ("10.0.0.0/8", "::1", "192.0.2.1/24")


class TestGeneration:
    """`gorouter_generation`: whose defaults hold."""

    @staticmethod
    def chosen(text: str) -> tuple[bool, bool, str]:
        config = parse(text.encode())
        return config.sticky_session_metadata, config.prometheus.gauges, config.logging.format.timestamp

    @pytest.mark.parametrize("text", ["", "gorouter_generation: april-2025"])
    def test_april_2025_is_the_default(self, text: str) -> None:
        assert self.chosen(text) == (False, False, "unix-epoch")

    def test_current(self) -> None:
        assert self.chosen("gorouter_generation: current") == (True, True, "rfc3339")

    def test_keys_that_are_given_hold(self) -> None:
        text = """
gorouter_generation: current
sticky_session_metadata: false
prometheus: {gauges: false}
logging: {format: {timestamp: unix-epoch}}
"""
        assert self.chosen(text) == (False, False, "unix-epoch")

    def test_defaults_are_no_keys_of_the_file(self) -> None:
        assert parse(b"gorouter_generation: current").derived.lines.keys() == {"gorouter_generation"}
