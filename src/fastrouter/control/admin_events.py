"""Which lines of the process log are events of the admin API: what operators wait for, besides changes of the table."""

from typing import Any

import orjson

from fastrouter.logs.logger import excerpt

EVENTS = frozenset(
    {
        "access-log-reopened",
        "admin-act",
        "admin-act-refused",
        "certificates-loaded",
        "certificates-refused",
        "configuration-needs-restart",
        "configuration-refused",
        "error-creating-accesslog-file",
        "gorouter-draining",
        "gorouter-draining-error",
        "gorouter.started",
        "gorouter.stopping",
        "log-level-changed",
        "nats-client-error",
        "nats-connection-disconnected",
        "nats-connection-reconnected",
        "prune-suspended",
        "pruned-route",
        "routes-file-loaded",
        "routes-file-refused",
        "table-inherited",
        "table-refused",
        "upgrade-failed",
        "upgrade-started",
        "upgrade-succeeded",
        "worker-channel-failed",
        "worker-exited",
        "worker-stuck",
        "workers-killed",
    }
)

# Bytes of the data of an event.
_MAX_DATA = 4096


def event_data(data: dict[str, Any]) -> bytes:
    """Return the data of a line as a JSON object of bounded size."""
    try:
        encoded = orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        # Of bytes that are no UTF-8: the log has them.
        return b"{}"
    return encoded if len(encoded) <= _MAX_DATA else orjson.dumps({"excerpt": excerpt(encoded, _MAX_DATA)})
