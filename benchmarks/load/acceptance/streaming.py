"""1 GiB up and down with slow readers: nothing buffers a body, and every byte arrives."""

import hashlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import payload
from benchmarks.load.acceptance.subject import Check, ProxyUnderTest, proxy_under_test
from benchmarks.load.backends import application_backend
from benchmarks.load.processes import MIB, RssWatch
from benchmarks.load.workloads import HOST

_SIZE = 1024 * MIB
_MAX_RSS_RISE = 32 * MIB
_TRANSFER_TIMEOUT = 120.0


def run(proxy_name: str, workdir: Path) -> list[Check]:
    expected = payload.digest(_SIZE)
    checks: list[Check] = []
    with (
        application_backend(workdir) as (backend, _),
        proxy_under_test(proxy_name, workdir, [backend]) as proxy,
    ):
        proxy.warm_up()
        for direction, transfer in (("upload", _upload), ("download", _slow_download)):
            for chunked in (False, True):
                started = time.monotonic()
                with RssWatch(proxy.process) as watch:
                    digest = transfer(proxy, chunked)
                title = f"1 GiB {direction}, {'chunked' if chunked else 'Content-Length'}"
                seconds = time.monotonic() - started
                checks += [
                    Check(
                        f"{title}, RSS rise",
                        f"{watch.rise / MIB:.1f} MiB in {seconds:.1f} s",
                        "< 32 MiB",
                        watch.rise < _MAX_RSS_RISE,
                    ),
                    Check(f"{title}, SHA-256", digest[:16], expected[:16], digest == expected),
                ]
    return checks


def _upload(proxy: ProxyUnderTest, chunked: bool) -> str:
    """Send as fast as the proxy takes it; the backend is the slow reader and answers with its digest."""
    headers = {"Host": HOST, "Content-Type": "application/octet-stream"}
    headers |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(_SIZE)}
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=_TRANSFER_TIMEOUT)
    try:
        connection.request("POST", "/upload", body=payload.blocks(_SIZE), headers=headers, encode_chunked=chunked)
        return connection.getresponse().read().decode()
    except (http.client.HTTPException, OSError) as error:
        return f"failed: {error!r}"
    finally:
        connection.close()


def _slow_download(proxy: ProxyUnderTest, chunked: bool) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=_TRANSFER_TIMEOUT)
    try:
        connection.request("GET", f"/download?{_SIZE}{'&chunked' if chunked else ''}", headers={"Host": HOST})
        sha256 = hashlib.sha256()
        for piece in _slowly(connection.getresponse()):
            sha256.update(piece)
        return sha256.hexdigest()
    except (http.client.HTTPException, OSError) as error:
        return f"failed: {error!r}"
    finally:
        connection.close()


def _slowly(response: http.client.HTTPResponse) -> Iterator[bytes]:
    position = 0
    while piece := response.read1(payload.READ_SIZE):
        yield piece
        time.sleep(payload.pause_before_reading(position, position + len(piece)))
        position += len(piece)
