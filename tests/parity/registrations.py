"""Messages of apps, right ones and all kinds of wrong ones, in the order in which they are published."""

# fmt: off
# Messages stand in rows, as the cases of the corpus do.

import json
from typing import Any

TAGS: tuple[Any, ...] = ({}, {"b": "2", "a": "1"}, None, {"x": 1}, {"x": None}, [], "x", {"ä": "<&>\u2028"})
OPTIONS: tuple[Any, ...] = (
    {}, None, {"loadbalancing": "least-connection"}, {"loadbalancing": "round-robin"}, {"loadbalancing": "other"}, {"loadbalancing": ""},
    {"loadbalancing": 5}, "x", {"loadbalancing": "hash", "hash_header": "x"},
)

ODD: tuple[Any, ...] = ("some", "", None, 5, {}, True)

MESSAGES: tuple[tuple[bytes, bytes], ...] = tuple(
    (subject, payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    for subject, payload in (
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["plain-1.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["UPPER.reg/Path", "upper.reg/path/", "q.reg?x=1"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["", "/", "//", "a.reg//b", "a.reg/", "http://x.reg/y"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["*.star.reg", "*", "*.", ".", "a.*.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["bäh.reg", "sp ace.reg", "a%2fb.reg/%41", "<b>&.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": []}),
        (b"router.register", {"host": "1.2.3.4", "port": 80}),
        (b"router.register", {"port": 80, "uris": ["no-host.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "uris": ["no-port.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 0, "uris": ["zero-port.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 65536, "uris": ["big-port.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": -1, "uris": ["negative-port.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": "80", "uris": ["text-port.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80.0, "uris": ["float-port.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80.5, "uris": ["fraction-port.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": None, "uris": ["null-port.reg"]}),
        (b"router.register", {"host": None, "port": 80, "uris": ["null-host.reg"]}),
        (b"router.register", {"host": 1, "port": 80, "uris": ["number-host.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": "text-uris.reg"}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["null-uri.reg", None]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": None}),
        (b"router.register", {"HOST": "1.2.3.4", "Port": 80, "URIs": ["odd-case.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["unknown-field.reg"], "more": {"x": [1]}}),
        (b"router.register", b'{"host":"1.2.3.4","port":80,"port":81,"uris":["twice.reg"]}'),
        (b"router.register", b'{"host":"1.2.3.4","port":80,"uris":["trailing.reg"]} x'),
        (b"router.register", b'{"host":"1.2.3.4","port":80,"uris":["cut.reg"]'),
        (b"router.register", b'\xef\xbb\xbf{"host":"1.2.3.4","port":80,"uris":["bom.reg"]}'),
        (b"router.register", b'{"host":"1.2.3.4","port":80,"uris":["bad-utf8-\xff.reg"]}'),
        (b"router.register", b"[]"),
        (b"router.register", b"null"),
        (b"router.register", b""),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "tls_port": 443, "uris": ["tls.reg"], "server_cert_domain_san": "s"}),
        (b"router.register", {"host": "1.2.3.4", "tls_port": 443, "uris": ["tls-only.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "tls_port": 0, "uris": ["tls-zero.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "tls_port": None, "uris": ["tls-null.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "protocol": "http2", "uris": ["http2.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "protocol": "other", "uris": ["protocol-other.reg"]}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "protocol": "HTTP1", "uris": ["protocol-upper.reg"]}),
        *(
            (b"router.register", {"host": "1.2.3.4", "port": 80, "stale_threshold_in_seconds": value, "uris": [f"stale-{n}.reg"]})
            for n, value in enumerate((0, 1, 119, 120, 121, 100000, -1, 1.5, "5", None))
        ),
        *(
            (b"router.register", {"host": "1.2.3.4", "port": 80, "tags": value, "uris": [f"tags-{n}.reg"]})
            for n, value in enumerate(TAGS)
        ),
        *(
            (b"router.register", {"host": "1.2.3.4", "port": 80, "route_service_url": value, "uris": [f"service-{n}.reg"]})
            for n, value in enumerate(("https://rs.reg/x", "http://rs.reg", "rs.reg", "", "https://", "HTTPS://x", "https://%zz", 5))
        ),
        *(
            (b"router.register", {"host": "1.2.3.4", "port": 80, "options": value, "uris": [f"options-{n}.reg"]})
            for n, value in enumerate(OPTIONS)
        ),
        *(
            (b"router.register", {"host": "1.2.3.4", "port": 80, field: value, "uris": [f"{field}-{n}.reg"]})
            for field in ("app", "private_instance_id", "private_instance_index", "isolation_segment", "availability_zone",
                          "server_cert_domain_san", "endpoint_updated_at_ns", "protocol")
            for n, value in enumerate(ODD)
        ),
        (b"router.register", {"host": "::1", "port": 80, "uris": ["v6.reg"]}),
        (b"router.register", {"host": "[::1]", "port": 80, "uris": ["v6-brackets.reg"]}),
        (b"router.register", {"host": "name.reg", "port": 80, "uris": ["name.reg"]}),
        (b"router.register", {"host": "1.2.3.5", "port": 80, "uris": ["plain-1.reg"], "app": "x", "private_instance_id": "i"}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["plain-1.reg"], "tags": {"now": "changed"}}),
        (b"router.register", {"host": "1.2.3.4", "port": 80, "uris": ["plain-1.reg"], "availability_zone": "only this"}),
        (b"router.unregister", {"host": "1.2.3.4", "port": 80, "uris": ["upper.REG/PATH"]}),
        (b"router.unregister", {"host": "1.2.3.4", "port": 81, "uris": ["plain-1.reg"]}),
        (b"router.unregister", {"host": "1.2.3.5", "port": 80, "uris": ["plain-1.reg", "never.reg"], "app": "other"}),
        (b"router.unregister", {"host": "1.2.3.4", "port": 443, "uris": ["tls.reg"]}),
        (b"router.unregister", {"host": "1.2.3.4", "port": 80, "tls_port": 443, "uris": ["tls-only.reg"]}),
        (b"router.unregister", {"host": "1.2.3.4", "port": 80}),
        (b"router.unregister", b"nonsense"),
        (b"router.unregister", {"host": "1.2.3.4", "port": 80, "route_service_url": "http://x", "uris": ["service-0.reg"]}),
    )
)
