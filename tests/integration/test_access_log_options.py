"""Options of the access log as an operator configures them, and files that are not well."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, register
from .metrics_page import metrics_of
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import wait_for
from .test_access_log import SINK_ERROR

HOST = "app.test"


def lines_of(path: Path, count: int) -> list[str]:
    """Wait for the first lines of a log."""
    return wait_for(
        lambda: lines if len(lines := path.read_text().splitlines()) >= count else None, f"{count} lines in {path}"
    )


def serve(router: GorouterProcess, nats: RawNatsClient, serving: AnsweringBackend) -> None:
    router.wait_until_started()
    register(nats, serving.address, HOST)
    wait_for(lambda: router.addresses(HOST), "the route")


def test_everything_at_once(
    start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    router = start_gorouter(
        access_log={"file": str(path)},
        extra_headers_to_log=["X-One"],
        tracing={"enable_zipkin": True, "enable_w3c": True},
        logging={
            "enable_attempts_details": True,
            "redact_query_params": "hash",
            "disable_log_forwarded_for": True,
            "disable_log_source_ip": True,
        },
    )
    serve(router, nats, serving)
    assert router.status_of(HOST, "/x?secret", X_One="1") == 200
    (line,) = lines_of(path, 1)
    match = re.fullmatch(
        rf'app\.test - \[[^]]*\] "GET /x\?hash={hashlib.sha1(b"secret").hexdigest()} HTTP/1\.1" 200 0 \d+ "-" "-" "-" '
        rf'"{serving.address}" x_forwarded_for:"-" x_forwarded_proto:"http" vcap_request_id:"([0-9a-f-]{{36}})" '
        r'response_time:\d+\.\d{6} gorouter_time:\d+\.\d{6} app_id:"-" app_index:"-" instance_id:"-" '
        r'failed_attempts:0 failed_attempts_time:"-" dns_time:0\.000000 dial_time:\d+\.\d{6} tls_time:0\.000000 '
        r'backend_time:\d+\.\d{6} x_cf_routererror:"-" x_one:"1" x_b3_traceid:"([0-9a-f]{32})" '
        r'x_b3_spanid:"([0-9a-f]{16})" x_b3_parentspanid:"-" b3:"(.*)" traceparent:"(.*)" tracestate:"(.*)"',
        line,
    )
    assert match
    request_id, trace, span, b3, traceparent, tracestate = match.groups()
    assert request_id.replace("-", "") == trace
    assert (b3, traceparent, tracestate) == (f"{trace}-{span}", f"00-{trace}-{span}-01", f"gorouter={span}")


def test_local_address_and_json(
    start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    router = start_gorouter(
        access_log={"file": str(path), "format": "json"},
        logging={"extra_access_log_fields": ["local_address", "dial_time"]},
    )
    serve(router, nats, serving)
    assert router.status_of(HOST) == 200
    record = json.loads(lines_of(path, 1)[0])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", record["local_address"])
    assert 0 < record["dial_time"] <= record["response_time"]
    assert (record["status"], record["backend_addr"]) == (200, serving.address)


@pytest.mark.parametrize("is_wanted", [False, True])
def test_refused_requests(start_gorouter: StartGorouter, tmp_path: Path, is_wanted: bool) -> None:
    path = tmp_path / "access.log"
    router = start_gorouter(
        access_log={"file": str(path), **({"refused_requests": True} if is_wanted else {})},
        prometheus={"enabled": True, "port": 0},
    )
    router.wait_until_started()
    assert router.status_of("unknown.test", Expect="more") == 417
    assert router.status_of("unknown.test") == 404
    lines = lines_of(path, 2 if is_wanted else 1)
    assert [line for line in lines if 'x_cf_routererror:"refused (expectation)"' in line] == (
        [line for line in lines if " 417 " in line]
    )
    assert len(lines) == 1 + is_wanted
    page = metrics_of(router)
    assert page.value("fastrouter_refused_requests", reason="expectation") == 1
    assert page.value("fastrouter_refused_requests") == 1


def test_a_format_that_is_none(nats_server: NatsServerProcess, tmp_path: Path) -> None:
    router = GorouterProcess(tmp_path, {"access_log": {"format": "xml"}})
    assert router.wait() == 1
    (error,) = router.events("Error loading config:")
    assert error["data"]["error"].startswith("Invalid access log format: xml")
    assert nats_server.port


class TestLostLines:
    KEYS: dict[str, Any] = {"prometheus": {"enabled": True, "port": 0}}  # noqa: RUF012 nobody changes it

    def lost(self, router: GorouterProcess) -> float:
        return metrics_of(router).value("fastrouter_worker_lost_log_lines")

    def test_a_full_disk_is_counted(self, start_gorouter: StartGorouter) -> None:
        router = start_gorouter(access_log={"file": "/dev/full"}, **self.KEYS)
        router.wait_until_started()
        for _ in range(5):
            assert router.status_of("unknown.test") == 404
        wait_for(lambda: self.lost(router) == 5 or None, "the count of lost lines")
        assert len(router.wait_for_events(SINK_ERROR, 1)) == 1

    def test_a_pipe_nobody_reads_stops_nothing(self, start_gorouter: StartGorouter, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        # Somebody has it open, or the router would wait for that at its start.
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            router = start_gorouter(access_log={"file": str(path)}, **self.KEYS)
            router.wait_until_started()
            # Far more than the pipe holds.
            padding = "x" * 60_000
            for _ in range(20):
                assert router.status_of("unknown.test", f"/{padding}") == 404
            assert self.lost(router) == 0
            assert router.events(SINK_ERROR) == []
            # Everything has waited.
            text = b""
            while text.count(b"\n") < 20:
                text += wait_for(lambda: self._read(reader), "more lines")
            assert text.count(padding.encode()) == 20
        finally:
            os.close(reader)

    def _read(self, reader: int) -> bytes | None:
        try:
            return os.read(reader, 1 << 20)
        except BlockingIOError:
            return None
