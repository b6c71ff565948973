"""The backends behind the proxies, each a process of its own on the load core."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load.processes import LOAD_CORE, PinnedProcess, free_port, listening
from benchmarks.load.proxies import nginx_command
from benchmarks.load.workloads import LARGE_BODY, LARGE_PATH, SMALL_BODY, SMALL_PATH


@contextlib.contextmanager
def static_backend(workdir: Path, **sizes: int) -> Iterator[str]:
    """Run an nginx that answers the paths of the workloads as cheaply as it can; yields its address.

    `sizes` are further paths, without their slash, and how many zero bytes they lead to.
    """
    workdir = workdir / "static-backend"
    documents = workdir / "documents"
    documents.mkdir(parents=True)
    (documents / LARGE_PATH.lstrip("/")).write_bytes(LARGE_BODY)
    for name, size in sizes.items():
        with (documents / name).open("w+b") as document:
            document.truncate(size)
            # Otherwise the kernel would make its pages while the first proxy waits for them, megabytes at a time.
            while document.read(1 << 20):
                pass
    port = free_port()
    command = nginx_command(
        workdir,
        f"""
        access_log off;
        sendfile on;
        open_file_cache max=10;
        server {{
            listen 127.0.0.1:{port} backlog=4096;
            location = {SMALL_PATH} {{ return 200 "{SMALL_BODY.decode()}"; }}
            location / {{ root {documents}; }}
        }}
        """,
    )
    with listening("static-backend", command, LOAD_CORE, workdir, port):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def application_backend(
    workdir: Path, name: str = "application", module: str = "application", *arguments: str
) -> Iterator[tuple[str, PinnedProcess]]:
    """Run `benchmarks.load.<module>` with a port and `arguments`; yields its address and its process."""
    port = free_port()
    command = [sys.executable, "-m", f"benchmarks.load.{module}", str(port), *arguments]
    with listening(name, command, LOAD_CORE, workdir, port) as process:
        yield f"127.0.0.1:{port}", process
