"""The workloads of docs/performance.md that are driven by wrk."""

from dataclasses import dataclass

HOST = "app.example.com"

SMALL_PATH = "/small"
SMALL_BODY = b"hello from the backend app\n"
LARGE_PATH = "/large"
LARGE_BODY = bytes(range(256)) * 400  # 100 KiB

_BROWSER_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.8,de;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://app.example.com/orders?page=2&sort=date",
    "DNT": "1",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Cache-Control": "max-age=0",
    "Cookie": "JSESSIONID=7F1B0C52E3A94D1188C7; theme=dark; __VCAP_ID__=3f0c9a52-6f5e-4c3b-5d6a-90f1",
}


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    path: str
    body: bytes
    connections: int
    headers: dict[str, str]
    scheme: str = "http"  # or https, or h2: HTTP/2 over TLS
    host: str = HOST
    streams: int = 1  # at a time on one connection


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W1", "GET, 27-byte body, 1 header, 64 connections", SMALL_PATH, SMALL_BODY, 64, {}),
        Workload(
            "W2",
            "GET, 12 browser headers, sticky cookies, 64 connections",
            SMALL_PATH,
            SMALL_BODY,
            64,
            _BROWSER_HEADERS,
        ),
        Workload("W4", "GET, 100 KiB body, 32 connections", LARGE_PATH, LARGE_BODY, 32, {}),
        Workload("W5", "new connection per request, 64 at a time", SMALL_PATH, SMALL_BODY, 64, {"Connection": "close"}),
    )
}
