"""What is fuzzed, by name: a function that takes any bytes and raises for a finding, and words worth trying.

Each goes through code that a router runs: a data plane with transports in memory, or what the control process calls.
"""

from collections.abc import Callable
from typing import NamedTuple

from fastrouter.config.reference import entries
from fastrouter.registry.registration import Options, Registration

from . import control_targets, greeting_targets, http1_targets, http2_targets


class Target(NamedTuple):
    """One thing that takes bytes from outside."""

    check: Callable[[bytes], None]
    # For the fuzzer's dictionary.
    words: tuple[bytes, ...] = ()
    # Whether the extension is what is tried, which needs the build with sanitizers.
    is_native: bool = True


def words(text: str) -> tuple[bytes, ...]:
    """Words with blanks between them; `_` stands for a blank within one, `|` for the end of a line."""
    return tuple(word.replace("_", " ").replace("|", "\r\n").encode() for word in text.split())


_FIELDS = words(
    """
    Host:_app.test| Content-Length:_2| Transfer-Encoding:_chunked| Connection:_close| Connection:_Upgrade|Upgrade:_x|
    Expect:_100-continue| Cookie:_a=b| X-Forwarded-For:_1.2.3.4| X-Cf-App-Instance:_app:0| Trailer:_X-Sum| TE:_trailers|
    X-B3-TraceId:_80f198ee56343ba8| traceparent:_00- Proxy-Connection:_close| Set-Cookie:_JSESSIONID=a;_Path=/|
    Keep-Alive:_timeout=5| _HTTP/1.1| _HTTP/1.0| || |_ :_ |||0|| 2|ok| identity gzip,chunked keep-alive
    """
)
_REQUESTS = words("GET_/_ POST_/_ HEAD_/_ CONNECT_app.test:80_ OPTIONS_*_ http://app.test/ %2f PRI_*_HTTP/2.0")
_RESPONSES = words(
    "HTTP/1.1_200_OK| HTTP/1.1_103_Early_Hints|| HTTP/1.1_101_ HTTP/1.1_304_ HTTP/1.1_204_ HTTP/1.0_200_OK|"
)
_CHUNKS = words("0|| 1| ;a=b fffffffffffffff | 0|X-Sum:_1||")
_PROXY = (*words("PROXY_TCP4_ PROXY_TCP6_ PROXY_UNKNOWN 1.2.3.4_ ::1_ _80_443|"), greeting_targets.SIGNATURE)
_REGISTRATION = (
    *(f'"{name}":'.encode() for name in (*Registration.__struct_fields__, *Options.__struct_fields__)),
    *words(r'"component":"a" "hash" "http2" "https://a.test/" ["a.test/p"] null \u0000 \ud800'),
)
_KEYS = tuple(f"{path.rpartition('.')[2]}: ".encode() for path, _ in entries())
_TEMPLATE = words(
    """
    {{.Message}} {{.Status}} {{if_ {{else}} {{else_if_ {{end}} {{range_ {{with_ {{$x_:=_ {{/* */}} {{-_ _-}} printf_ eq_
    index_ len_ html_ urlquery_ js_ .Header.Get_ .Header.Values_ <script> </script> <style> </style> <a_href= <p_title='
    onclick=" <!-- --> `${
    """
)

TARGETS = {
    "request_head": Target(http1_targets.check_request_head, (*_REQUESTS, *_FIELDS)),
    "response_head": Target(http1_targets.check_response_head, (*_RESPONSES, *_FIELDS)),
    "request_body": Target(http1_targets.check_request_body, _CHUNKS),
    "response_body": Target(http1_targets.check_response_body, _CHUNKS),
    "proxy_header": Target(greeting_targets.check_proxy_header, _PROXY),
    "client_hello": Target(greeting_targets.check_client_hello),
    "http2_client": Target(http2_targets.check_http2_client),
    "http2_backend": Target(http2_targets.check_http2_backend),
    "registration": Target(control_targets.check_registration, _REGISTRATION, is_native=False),
    "config": Target(control_targets.check_config, _KEYS, is_native=False),
    "template": Target(control_targets.check_template, _TEMPLATE, is_native=False),
}
