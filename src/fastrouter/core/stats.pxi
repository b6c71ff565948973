# Stats: the counters of one data plane, one array of integers per RoundTripper.

# Names by COUNTER_*, which are Gorouter's where it has one (spec 7.4).
cdef tuple COUNTER_NAMES = (
    "requests", "total_requests", "dials", "rejected_requests", "bad_gateways", "backend_invalid_id",
    "backend_invalid_tls_cert", "backend_tls_handshake_failed", "backend_exhausted_conns", "websocket_upgrades",
    "websocket_failures", "responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx", "responses_xxx",
)
