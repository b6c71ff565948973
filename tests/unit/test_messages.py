import json
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastrouter._core import Endpoint
from fastrouter.bus.messages import active_apps_message, start_message
from fastrouter.registry.registration import (
    MAX_ODD_REGISTRATION,
    MAX_REGISTRATION,
    MessageError,
    Options,
    Registration,
    decode_registration,
)

FULL = {
    "host": "10.0.1.2",
    "port": 8080,
    "tls_port": 61001,
    "uris": ["app.example.com", "APP.example.com/x?y"],
    "app": "5f6a0d44-0f2c-4c70-b0b2-5d0b1a1a9b58",
    "private_instance_id": "a0668c36-33c5-4479-63de-5cb9",
    "private_instance_index": "0",
    "tags": {"component": "route-emitter"},
    "stale_threshold_in_seconds": 60,
    "route_service_url": "https://rs.example.com",
    "server_cert_domain_san": "a0668c36-33c5-4479-63de-5cb9",
    "isolation_segment": "is1",
    "endpoint_updated_at_ns": 1763900000000000000,
    "protocol": "http2",
    "availability_zone": "z1",
    "options": {"loadbalancing": "hash", "hash_header": "X-Tenant", "hash_balance": 1.25},
}


def encode(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_every_field_is_read() -> None:
    registration = decode_registration(encode(**FULL))
    read = {name: getattr(registration, name) for name in FULL}
    assert read == {**FULL, "uris": tuple(FULL["uris"]), "options": Options("hash", "X-Tenant", 1.25)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "payload", [b"{}", b"null", b' {"dea":{"x":[1]},"unknown":null} ', encode(hosts=["1.2.3.4"], id="0-x")]
)
def test_all_fields_have_defaults_and_unknown_ones_are_ignored(payload: bytes) -> None:
    assert decode_registration(payload) == Registration()


def test_names_match_in_any_case_and_the_last_of_several_counts() -> None:
    assert decode_registration(
        b'{"HOST":"a","Port":1,"port":2,"URIS":["u"],"Options":{"LoadBalancing":"least-connection"},"ho\xc5\xbft":"b"}'
    ) == Registration(host="b", port=2, uris=("u",), options=Options("least-connection"))


def test_names_of_tags_keep_their_case() -> None:
    assert decode_registration(b'{"Tags":{"Component":"C"}}').tags == {"Component": "C"}


def test_null_is_the_default_everywhere() -> None:
    nothing = decode_registration(json.dumps(dict.fromkeys(FULL)).encode())
    assert nothing == Registration()
    inside = decode_registration(b'{"uris":["a",null],"tags":{"x":null,"y":"z"},"options":{"loadbalancing":null}}')
    assert inside == Registration(uris=("a", ""), tags={"x": "", "y": "z"})


def test_no_tags_and_empty_tags_differ() -> None:
    assert decode_registration(b"{}").tags is None
    assert decode_registration(b'{"tags":{}}').tags == {}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (encode(host=1), "Expected `str`, got `int` - at `$.host`"),
        (encode(port="80"), "Expected `int`, got `str` - at `$.port`"),
        (encode(port=80.0), "Expected `int`, got `float` - at `$.port`"),
        (encode(port=65536), "Expected `int` <= 65535 - at `$.port`"),
        (encode(tls_port=-1), "Expected `int` >= 0 - at `$.tls_port`"),
        (encode(private_instance_index=0), "Expected `str`, got `int` - at `$.private_instance_index`"),
        (encode(uris="a"), "Expected `array`, got `str` - at `$.uris`"),
        (encode(uris=[1]), "Expected `str`, got `int` - at `$.uris[0]`"),
        (encode(tags={"a": 1}), "Expected `str`, got `int` - at `$.tags[...]`"),
        (encode(tags=[]), "Expected `object | null`, got `array` - at `$.tags`"),
        (encode(endpoint_updated_at_ns=2**63), "Expected `int` <= 9223372036854775807 - at `$.endpoint_updated_at_ns`"),
        (encode(stale_threshold_in_seconds=True), "Expected `int`, got `bool` - at `$.stale_threshold_in_seconds`"),
        (encode(options=3), "Expected `object`, got `int` - at `$.options`"),
        (encode(options={"hash_balance": "1"}), "Expected `float`, got `str` - at `$.options.hash_balance`"),
        (encode(PORT="80"), "Expected `int`, got `str` - at `$.port`"),
        (b"[]", "a registration is a JSON object"),
        (b'"x"', "a registration is a JSON object"),
        (b"", "Input data was truncated"),
        (b"{} {}", "JSON is malformed: trailing characters (byte 4)"),
        (b"[" * 50_000, "the message is nested too deeply"),
    ],
)
def test_what_is_no_registration_is_rejected_with_the_reason(payload: bytes, text: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode_registration(payload)
    assert str(caught.value) == text


@pytest.mark.parametrize("url", ["http://rs.example.com", "HTTPS://rs.example.com", "rs"])
def test_a_route_service_must_be_https(url: str) -> None:
    with pytest.raises(MessageError, match=r"^Unable to validate message\. route_service_url must be https$"):
        decode_registration(encode(uris=["a"], route_service_url=url))
    assert decode_registration(encode(route_service_url="https:x")).route_service_url == "https:x"


@pytest.mark.parametrize("name", ["host", "app", "private_instance_id", "private_instance_index", "availability_zone"])
@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "\0", "\x7f", "ä", "x" * 1025])
def test_text_that_would_break_a_header_is_rejected(name: str, value: str) -> None:
    with pytest.raises(MessageError, match=f"^Unable to validate message. {name} must "):
        decode_registration(json.dumps({name: value}, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {"uris": ["a/b\nSet-Cookie: x"]},
        {"route_service_url": "https://a\r\n"},
        {"isolation_segment": "\x1b[0m"},
        {"tags": {"component": "a\nb"}},
        {"tags": {"process_id": "a\nb"}},
    ],
)
def test_control_characters_are_rejected_wherever_they_could_travel_on(fields: dict[str, object]) -> None:
    with pytest.raises(MessageError, match=r"^Unable to validate message\. .* must "):
        decode_registration(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (encode(app="x" * MAX_REGISTRATION), "It must not be longer than 1048576 bytes"),
        (
            encode(route_service_url="https://" + "x" * 8192),
            "route_service_url must not be longer than 8192 characters",
        ),
        (encode(isolation_segment="x" * 8193), "isolation_segment must not be longer than 8192 characters"),
        (encode(tags={"a": "x" * 32768, "b": "x" * 32768}), "tags must not be longer than 65536 characters"),
        (encode(tags={f"{n:05}": "" for n in range(20_000)}), "tags must not be longer than 65536 characters"),
        (encode(options={"loadbalancing": "x" * 1025}), "options must not be longer than 1024 characters"),
        (encode(uris=["x"] * 100_000 + ["\0"]), "uris must not have control characters"),
    ],
)
def test_what_is_too_long(payload: bytes, error: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode_registration(payload)
    assert str(caught.value) == f"Unable to validate message. {error}"


def test_a_long_message_must_be_spelled_exactly() -> None:
    """The patient decoder takes several times as long as the exact one."""
    uris = ["app.example.com"] * (MAX_ODD_REGISTRATION // 19 + 50)
    assert decode_registration(encode(uris=uris)).uris == tuple(uris)
    assert decode_registration(encode(Uris=uris[:-100])).uris == tuple(uris[:-100])
    with pytest.raises(MessageError, match="unknown field `Uris`"):
        decode_registration(encode(Uris=uris))


def test_other_tags_may_say_what_users_call_their_spaces() -> None:
    assert decode_registration(encode(tags={"space_name": "Grüße\n"})).tags == {"space_name": "Grüße\n"}


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
name = st.sampled_from([*FULL, "Host", "dea", "OPTIONS"])
document = st.dictionaries(name, json_value | st.text() | st.integers(0, 70_000), max_size=8)


@given(st.binary() | st.builds(lambda fields: json.dumps(fields).encode(errors="surrogatepass"), document | json_value))
@example(b'{"host":"\\ud800"}')
@example(b'{"tags":{"component":"\xff"}}')
def test_any_bytes_are_a_registration_or_a_message_error(payload: bytes) -> None:
    try:
        registration = decode_registration(payload)
    except MessageError:
        return
    # The data plane refuses nothing that was let through.
    Endpoint(
        registration.host,
        registration.port,
        app_id=registration.app,
        instance_id=registration.private_instance_id,
        instance_index=registration.private_instance_index,
        server_cert_domain_san=registration.server_cert_domain_san,
        protocol=registration.protocol,
        availability_zone=registration.availability_zone,
    )


def test_start_message() -> None:
    assert start_message("0-3a8b", "10.0.0.1", 5.9, 120.0) == (
        b'{"id":"0-3a8b","hosts":["10.0.0.1"],"minimumRegisterIntervalInSeconds":5,"pruneThresholdInSeconds":120}'
    )


@pytest.mark.parametrize("apps", [[], ["a", "b"]])
def test_active_apps_message(apps: list[str]) -> None:
    assert json.loads(zlib.decompress(active_apps_message(apps))) == apps
