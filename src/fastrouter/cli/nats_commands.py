"""`fastrouter nats sub|pub`: what goes over the bus of a router, with the router's own credentials."""

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from fastrouter.cli.whole_help import WholeGroup
from fastrouter.logs.error_text import error_text

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from fastrouter.bus.bus import BusOptions

# Seconds that a server has to answer.
PATIENCE = 5


@click.group("nats", cls=WholeGroup)
def nats_group() -> None:
    """Listen to the bus where apps register, or say something there."""


def _server_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--server", metavar="URL", envvar="NATS", help="A server, as nats://[USER:PASSWORD@]HOST:PORT.  [env: NATS]"
        ),
        click.option("-c", "config", metavar="FILE", help="The servers, credentials and TLS of this gorouter.yml."),
    ):
        command = option(command)
    return command


@nats_group.command("sub")
@click.argument("subjects", nargs=-1, required=True, metavar="SUBJECT...")
@_server_options
@click.option("--count", type=click.IntRange(min=1), metavar="NUMBER", help="End after so many messages.")
@click.option("--json", "is_json", is_flag=True, help="A JSON object for each message.")
def subscribe(*, subjects: tuple[str, ...], server: str | None, config: str | None, count: int, is_json: bool) -> None:
    """Print the messages to SUBJECT, until Ctrl-C; `*` stands for a word and `>` for the rest.

    A line has the subject, a blank, and the payload. Apps register with router.register and leave with
    router.unregister; router.> is all that routers and apps say to each other.
    """
    _run(_subscribe(_bus_of(server, config), subjects, count, is_json=is_json))


@nats_group.command("pub")
@click.argument("subject")
@click.argument("payload", required=False)
@_server_options
def publish(*, subject: str, payload: str | None, server: str | None, config: str | None) -> None:
    """Publish PAYLOAD to SUBJECT; without PAYLOAD, each line of the input is a message."""
    payloads = [payload.encode()] if payload is not None else [line.rstrip(b"\n") for line in sys.stdin.buffer]
    _run(_publish(_bus_of(server, config), subject, payloads))


def _bus_of(server: str | None, config: str | None) -> "str | BusOptions":
    if config is not None:
        from fastrouter.cli.gorouter_options import options_of  # noqa: PLC0415 `--help` needs none of it
        from fastrouter.config import ConfigError, load  # noqa: PLC0415

        try:
            bus = options_of(load(config)).bus
        except ConfigError as error:
            raise click.ClickException(f"{error.text}\nin {error.place(config)}") from error
        if bus is None:
            raise click.ClickException(f"{config} has nats.enabled: false")
        return bus
    if server is None:
        raise click.UsageError("give either -c FILE or --server URL")
    return server


async def _connect(bus: "str | BusOptions") -> "Client":
    from nats.aio.client import Client  # noqa: PLC0415

    from fastrouter.bus.bus import tls_context  # noqa: PLC0415

    client = Client()
    errors: list[Exception] = []

    async def on_error(error: Exception) -> None:
        errors.append(error)

    options: dict[str, Any] = {"servers": bus}
    if not isinstance(bus, str):
        options = {
            "servers": [f"nats://{server}" for server in bus.servers],
            "tls": tls_context(bus.tls) if bus.tls is not None else None,
        }
        if bus.user or bus.password:
            options |= {"user": bus.user, "password": bus.password}
    try:
        await client.connect(
            **options,
            connect_timeout=PATIENCE,
            error_cb=on_error,
            # Each server once, and then once more.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
        )
    except Exception as error:  # whatever it is, there is no connection
        shown = bus.rpartition("@")[2] if isinstance(bus, str) else ", ".join(map(str, bus.servers))
        raise click.ClickException(f"{shown}: {error_text(errors[-1] if errors else error)}") from error
    return client


async def _subscribe(bus: "str | BusOptions", subjects: tuple[str, ...], count: int | None, *, is_json: bool) -> None:
    import asyncio  # noqa: PLC0415 the first line of a router waits for none of it

    import orjson  # noqa: PLC0415

    client = await _connect(bus)
    messages: asyncio.Queue[Msg] = asyncio.Queue()
    for subject in subjects:
        await client.subscribe(subject, cb=messages.put)
    await client.flush()
    received = 0
    while count is None or received < count:
        message = await messages.get()
        received += 1
        payload = message.data.decode(errors="replace")
        if is_json:
            click.echo(orjson.dumps({"subject": message.subject, "payload": payload}))
        else:
            click.echo(f"{message.subject} {payload}")
    await client.close()


async def _publish(bus: "str | BusOptions", subject: str, payloads: list[bytes]) -> None:
    client = await _connect(bus)
    for payload in payloads:
        await client.publish(subject, payload)
    # The server has taken all of it.
    await client.flush()
    await client.close()


def _run(work: Coroutine[Any, Any, None]) -> None:
    import asyncio  # noqa: PLC0415 likewise

    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise click.Abort from None
