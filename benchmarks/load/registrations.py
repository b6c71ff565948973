"""What registrations cost: time and memory of 100,000 routes that come in over a real NATS server.

The control process (this one) has the subscriber, the registry and the encoder; a forked child has a RouteTable, fed
through a socket pair as a worker is. The server and the publisher are processes of their own. Run it on a machine that
does nothing else:

    python -m benchmarks.load.registrations [--routes N] [--level info]
"""

import argparse
import asyncio
import gc
import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import uvloop

from fastrouter._core import RouteTable
from fastrouter.bus.connection import NatsConnection, NatsServer
from fastrouter.bus.messages import start_message
from fastrouter.bus.subscriber import Subscriber
from fastrouter.ipc.table_changes import BatchEncoder
from fastrouter.logs.logger import Level, LineWriter, Logger
from fastrouter.registry.registration import decode_registration
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.worker.table_applier import TableApplier

_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_TIMEOUT = 60.0


def payloads(count: int) -> Iterator[bytes]:
    """Registrations as route-emitter sends them: one URI each, and GUIDs that occur nowhere else."""
    chance = random.Random(1)

    def guid() -> str:
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))

    for number in range(count):
        instance = guid()[:28]
        registration = {
            "host": f"10.{number // 50_000}.{number // 250 % 200}.{number % 250}",
            "port": 61000 + number % 4000,
            "tls_port": 61001 + number % 4000,
            "uris": [f"app-{number:06}.apps.example.com"],
            "app": guid(),
            "private_instance_id": instance,
            "private_instance_index": str(number % 4),
            "server_cert_domain_san": instance,
            "endpoint_updated_at_ns": 1_763_900_000_000_000_000 + number,
            "availability_zone": f"z{number % 3}",
            "tags": {
                "component": "route-emitter",
                "organization_id": guid(),
                "process_id": guid(),
                "source_id": guid(),
                "space_id": guid(),
            },
        }
        yield orjson.dumps(registration)


def publication(count: int) -> Iterator[bytes]:
    """The same as commands of the NATS protocol."""
    for payload in payloads(count):
        yield b"PUB router.register %d\r\n%s\r\n" % (len(payload), payload)


def publish(port: int, count: int) -> None:
    """Send all registrations as fast as the server takes them. Runs in a process of its own, whose stdin says when."""
    data = b"".join(publication(count))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.recv(65536)
        connection.sendall(b'CONNECT {"verbose":false}\r\n')
        print("ready", flush=True)
        for _ in sys.stdin:
            connection.sendall(data + b"PING\r\n")
            while b"PONG\r\n" not in connection.recv(65536):
                continue
            print("sent", flush=True)


def own_memory(pid: int | str = "self") -> int:
    """Bytes that a process has in memory of its own: pages that a fork shares are its parent's."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no Pss")


def work(channel: socket.socket) -> None:
    """Apply table changes until the stream ends, as a worker does; each byte sent back is the size of the table."""
    table = RouteTable()
    applier = TableApplier(table)
    reported = 0
    while data := channel.recv(256 * 1024):
        applier.feed(data)
        if len(table) != reported:
            reported = len(table)
            channel.sendall(reported.to_bytes(4, "big"))


class Stage(NamedTuple):
    """Microseconds of CPU per registration."""

    decode: float
    endpoint: float
    register: float

    def __str__(self) -> str:
        return (
            f"decode {self.decode:.1f}, endpoint {self.endpoint:.1f}, registry and encoding {self.register:.1f}: "
            f"{sum(self):.1f} µs"
        )


def stages(messages: list[bytes], registry: RouteRegistry) -> Stage:
    """Handle all messages up to each stage in turn: what a stage costs is the difference to the one before."""
    times = [time.process_time()]
    for message in messages:
        decode_registration(message)
    times.append(time.process_time())
    for message in messages:
        registry.new_endpoint(decode_registration(message))
    times.append(time.process_time())
    for message in messages:
        registration = decode_registration(message)
        endpoint = registry.new_endpoint(registration)
        for uri in registration.uris:
            registry.register(uri, endpoint)
    times.append(time.process_time())
    decode, both, whole = ((after - before) / len(messages) * 1e6 for before, after in itertools.pairwise(times))
    return Stage(decode, both - decode, whole - both)


def show_stages(logger: Logger) -> None:
    """Print what each stage costs, without a network."""
    messages = list(payloads(20_000))
    gc.collect()
    gc.freeze()
    encoder = BatchEncoder(lambda _: None, lambda _: None)
    registry = RouteRegistry(logger, encoder.add)
    print("CPU per new registration:", stages(messages, registry))
    print("CPU per repeated registration:", stages(messages, registry))
    gc.unfreeze()


async def run(count: int, logger: Logger, port: int) -> None:
    """Measure the whole way over NATS."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    worker = os.fork()
    if worker == 0:
        ours.close()
        work(theirs)
        os._exit(0)
    theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    publisher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"from benchmarks.load.registrations import publish; publish({port}, {count})",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert publisher.stdin is not None
    assert publisher.stdout is not None
    encoder = BatchEncoder(writer.write, loop.call_soon)
    connection = NatsConnection(logger, [NatsServer("127.0.0.1", port)], on_closed=lambda: None)
    registry = RouteRegistry(logger, encoder.add)
    subscriber = Subscriber(logger, connection, registry, start_message("0-bench", "127.0.0.1", 5, 120), encoder.flush)
    await connection.connect()
    await subscriber.start()
    await publisher.stdout.readline()
    gc.collect()
    before = {"control": own_memory(), "worker": own_memory(worker)}

    def handled() -> int:
        return sum(registry.report.registrations.values())

    for number, what in enumerate(("new", "repeated"), 1):
        started_at, cpu_at = time.perf_counter(), time.process_time()
        publisher.stdin.write(b"\n")
        most_pending = 0
        async with asyncio.timeout(_TIMEOUT):
            if number == 1:
                while int.from_bytes(await reader.readexactly(4), "big") < count:
                    most_pending = max(most_pending, subscriber.pending_messages)
            while handled() < number * count:  # noqa: ASYNC110  # the registry has no event for it
                await asyncio.sleep(0.01)
        took, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
        await publisher.stdout.readline()
        print(
            f"{count} {what} registrations over NATS: {took:.2f} s until the worker has them all, "
            f"{cpu / count * 1e6:.1f} µs of CPU each in the control process, {subscriber.dropped_messages} dropped, "
            f"up to {most_pending} pending"
        )
    gc.collect()
    after = {"control": own_memory(), "worker": own_memory(worker)}
    per_route = {name: (after[name] - before[name]) / count for name in before}
    print("bytes per route:", ", ".join(f"{name} {size:.0f}" for name, size in per_route.items()), end="")
    print(f", together {sum(per_route.values()):.0f}")
    for name, call in (("prune", registry.prune), ("routes_json", registry.routes_json)):
        started_at = time.perf_counter()
        for _ in call():
            pass
        print(f"{name}: {(time.perf_counter() - started_at) * 1e3:.0f} ms")
    publisher.stdin.close()
    await publisher.wait()
    subscriber.stop()
    await connection.close()
    writer.close()
    await asyncio.to_thread(os.waitpid, worker, 0)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, default=100_000)
    parser.add_argument("--level", choices=[level.name.lower() for level in Level], default="info")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as workdir, open(f"{workdir}/log", "wb") as log:
        logger = Logger("router", level=Level[options.level.upper()], writer=LineWriter(log.fileno()))
        show_stages(logger)
        server = subprocess.Popen(
            [Path(sys.executable).parent / "nats-server", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", workdir],
            stderr=subprocess.DEVNULL,
        )
        try:
            ports = Path(workdir) / f"nats-server_{server.pid}.ports"
            while not ports.exists() or not ports.read_text():
                time.sleep(0.01)
            port = int(orjson.loads(ports.read_bytes())["nats"][0].rpartition(":")[2])
            uvloop.run(run(options.routes, logger, port))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
