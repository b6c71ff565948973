"""Routes one request with the fastrouter that is installed, not with a checkout: `route_one_request.py [PROGRAM]`.

PROGRAM is the executable, by default `fastrouter` beside this Python. Needs nothing but the installed package.
"""

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import fastrouter
from fastrouter import _core

PATIENCE = 60


class Backend(BaseHTTPRequestHandler):
    """Answers with the headers that it gets."""

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 the base class calls it that
        pass


def main() -> None:
    for module in (fastrouter, _core):
        assert "site-packages" in str(module.__file__), f"{module.__file__} is a checkout"
    program = sys.argv[1] if len(sys.argv) > 1 else str(Path(sys.executable).with_name("fastrouter"))
    backend = HTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    route = f"app.test=127.0.0.1:{backend.server_port}"
    router = subprocess.Popen(
        [program, "run", "--listen", "127.0.0.1:0", "--workers", "1", "--route", route], stdout=subprocess.PIPE
    )
    timer = threading.Timer(PATIENCE, router.kill)
    timer.start()
    try:
        assert router.stdout is not None
        port = 0
        for line in router.stdout:
            event = json.loads(line)
            if event["message"] == "tcp-listener-started":
                port = event["data"]["address"]["Port"]
            if event["message"] == "gorouter.started":
                break
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "app.test"})
        headers = json.load(urllib.request.urlopen(request, timeout=PATIENCE))
        assert headers["Host"] == "app.test", headers
        assert "X-Vcap-Request-Id" in headers, headers
        router.send_signal(signal.SIGTERM)
        router.stdout.read()
        assert router.wait(PATIENCE) == 0
    finally:
        timer.cancel()
        router.kill()
        router.wait()
    print(f"{program}: fastrouter {fastrouter.__version__} routes")


if __name__ == "__main__":
    main()
