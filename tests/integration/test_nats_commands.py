"""`fastrouter nats sub|pub` with the real executable and a real server."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from .gorouter_process import configuration
from .nats_server import NatsServerProcess, RawNatsClient
from .router_process import EXECUTABLE, wait_for
from .test_check import run


def config_of(directory: Path, port: int, **keys: object) -> Path:
    path = directory / "gorouter.yml"
    path.write_text(yaml.safe_dump({**configuration(port), **keys}))
    return path


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_what_is_published_is_heard(nats_server: NatsServerProcess, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    config = config_of(tmp_path, nats_server.port)
    listening = subprocess.Popen(
        [EXECUTABLE, "nats", "sub", "router.*", "--count", "2", *arguments, "-c", config],
        stdout=subprocess.PIPE,
        text=True,
    )
    client = RawNatsClient(nats_server.port)
    try:
        # Until it listens, nobody is there to hear.
        def published() -> bool | None:
            sent = run("nats", "pub", "router.greet", '{"a": 1}', "--server", f"nats://127.0.0.1:{nats_server.port}")
            assert (sent.returncode, sent.stderr) == (0, "")
            return listening.poll() == 0 or None

        wait_for(published, "two messages")
        assert listening.stdout is not None
        lines = listening.stdout.read().splitlines()
    finally:
        client.close()
        listening.kill()
        listening.wait()
    if arguments:
        assert [json.loads(line) for line in lines] == [{"subject": "router.greet", "payload": '{"a": 1}'}] * 2
    else:
        assert lines == ['router.greet {"a": 1}'] * 2


def test_lines_of_the_input_are_messages(nats_server: NatsServerProcess, tmp_path: Path) -> None:
    client = RawNatsClient(nats_server.port)
    try:
        client.subscribe(b"a.b")
        client.sync()
        subprocess.run(
            [EXECUTABLE, "nats", "pub", "a.b", "-c", config_of(tmp_path, nats_server.port)],
            input=b"one\ntwo\n",
            check=True,
        )
        assert [client.next_message(), client.next_message()] == [b"one", b"two"]
    finally:
        client.close()


def test_what_cannot_be(tmp_path: Path) -> None:
    missing = run("nats", "sub", "a")
    assert missing.returncode == 1
    assert "give either -c FILE or --server URL" in missing.stderr
    nobody = run("nats", "pub", "a", "b", "--server", "nats://me:secret@127.0.0.1:1")
    assert nobody.returncode == 1
    assert nobody.stderr == "Error: 127.0.0.1:1: connection refused\n"
    config = config_of(tmp_path, 1, nats={"enabled": False})
    assert run("nats", "pub", "a", "b", "-c", config).stderr == f"Error: {config} has nats.enabled: false\n"
