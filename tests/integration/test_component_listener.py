"""The deprecated component listener of a running router (spec 7.3)."""

import base64
import json

from .conftest import StartGorouter
from .gorouter_process import PASSWORD, USER, GorouterProcess, get, register
from .nats_server import RawNatsClient
from .router_process import wait_for

ANNOUNCED = "Component Router registered successfully"
AUTHORIZATION = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


def test_it_is_not_there_unless_asked_for(gorouter: GorouterProcess) -> None:
    assert ANNOUNCED not in gorouter.messages()
    assert get(gorouter.health_port, "/varz", Authorization=AUTHORIZATION)[0] == 404


def test_it_takes_the_place_of_health_without_tls(start_gorouter: StartGorouter, nats: RawNatsClient) -> None:
    """O08."""
    router = start_gorouter(
        status={
            "host": "0.0.0.0",
            "port": 0,
            "user": USER,
            "pass": PASSWORD,
            "enable_deprecated_varz_healthz_endpoints": True,
            "routes": {"port": 0},
        },
        index=3,
        go_max_procs=3,
    )
    router.wait_until_started()
    messages = router.messages()
    assert messages.index("subscriber-started") < messages.index(ANNOUNCED) < messages.index("gorouter.started")
    port = router.health_port
    assert get(port, "/health") == (200, b"ok\n")
    assert get(port, "/healthz") == (200, b"ok\n")
    assert get(port, "/varz")[0] == 401
    register(nats, "127.0.0.1:1", "app.test")
    wait_for(lambda: router.addresses("app.test"), "the route")
    status, body = get(port, "/varz", Authorization=AUTHORIZATION)
    varz = json.loads(body)
    assert status == 200
    assert (varz["type"], varz["index"], varz["urls"], varz["droplets"]) == ("Router", 3, 1, 1)
    assert varz["credentials"] == [USER, PASSWORD]
    assert varz["cpu"] >= 0
    # One process of four has a quarter of it; there is a look every five seconds.
    wait_for(lambda: memory_in_varz(port) > router.resident_bytes() / 2 or None, "the memory of all processes", 15)
    assert get(port, "/routes", Authorization=AUTHORIZATION)[1].startswith(b'{"app.test":')


def memory_in_varz(port: int) -> int:
    """In bytes."""
    return int(json.loads(get(port, "/varz", Authorization=AUTHORIZATION)[1])["mem"]) * 1024
