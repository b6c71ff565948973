"""The commands about a router that runs: `status`, `certs`, `reload`, `drain`, `log-level`, `endpoints`."""

import os
import select
import time
from typing import TYPE_CHECKING, Any

import click

from fastrouter.cli.admin_output import (
    ANSWER_IS_NO,
    CommandError,
    asks_router,
    print_facts,
    print_json,
    print_table,
    span_text,
)
from fastrouter.cli.whole_help import WholeCommand, WholeGroup
from fastrouter.logs.error_text import error_text

if TYPE_CHECKING:
    from fastrouter.cli.admin_client import AdminClient

# Seconds between two looks at an endpoint that drains.
_POLL = 0.25
# Digits of a date, without the time.
_DATE = 10


@click.command("status", cls=WholeCommand)
@asks_router
def status_command(*, client: "AdminClient", is_json: bool) -> None:
    """Show the router at a glance; exit with 4 unless it serves and is healthy."""
    overview = client.get("/v1/overview")
    if is_json:
        print_json(overview)
    else:
        print_facts(_overview_facts(overview))
    if overview["state"] != "serving" or not overview["healthy"]:
        raise CommandError(f"the router is {_state(overview)}", ANSWER_IS_NO)


def _overview_facts(overview: dict[str, Any]) -> list[tuple[str, object]]:
    rates, certificate = overview["rates"], overview["next_certificate"]
    latencies = [
        f"{name} {rates[key]:.1f} ms"
        for name, key in (("p50", "latency_p50"), ("p99", "latency_p99"))
        if rates[key] is not None
    ]
    requests = [f"{rates['requests_per_second']:.1f}/s", f"{rates['errors'] * 100:.2f} % 5xx", *latencies]
    facts: list[tuple[str, object]] = [
        ("state", _state(overview)),
        ("router", f"{overview['version']}, process {overview['pid']}, up {span_text(overview['uptime'])}"),
        ("workers", f"{overview['serving_workers']} of {overview['workers']} serve"),
        (
            "routes",
            f"{overview['routes']}, with {overview['endpoints']} endpoints, {overview['draining_endpoints']} draining",
        ),
        ("requests", f"{', '.join(requests)}, {rates['in_flight']} in flight"),
        ("NATS", _nats_text(overview)),
        ("log level", overview["log_level"]),
    ]
    if certificate is not None:
        end = f"{certificate['subject']} of {certificate['use']} ends in {certificate['days_left']:.1f} days"
        facts.append(("certificate", end))
    return facts


def _state(overview: dict[str, Any]) -> str:
    return f"{overview['state']}, {'healthy' if overview['healthy'] else 'not healthy'}"


def _nats_text(overview: dict[str, Any]) -> str:
    if overview["nats_connected"] is None:
        return "none"
    age = overview["ms_since_last_registration"]
    last = "no registration yet" if age is None else f"last registration {span_text(age / 1000)} ago"
    return f"{'connected' if overview['nats_connected'] else 'not connected'}, {last}"


@click.command("certs", cls=WholeCommand)
@click.option(
    "--days", type=click.IntRange(min=0), metavar="NUMBER", help="Exit with 4 if one ends in fewer days than this."
)
@asks_router
def certs_command(*, client: "AdminClient", is_json: bool, days: int | None) -> None:
    """List the certificates that the router uses, the one that ends first first."""
    certificates = client.get("/v1/certificates")["certificates"]
    if is_json:
        for certificate in certificates:
            print_json(certificate)
    else:
        print_table(
            ("ENDS", "DAYS", "KEY", "SUBJECT"),
            [
                ("-", "-", one["use"], one["error"])
                if one["error"]
                else (one["not_after"][:_DATE], f"{one['days_left']:.1f}", one["use"], one["subject"])
                for one in certificates
            ],
        )
    ending = [one for one in certificates if one["error"] or (days is not None and one["days_left"] < days)]
    if days is not None and ending:
        raise CommandError(f"{len(ending)} of {len(certificates)} end within {days} days", ANSWER_IS_NO)


@click.command("reload", cls=WholeCommand)
@asks_router
def reload_command(*, client: "AdminClient", is_json: bool) -> None:
    """Have the router read certificates and static routes again, as SIGHUP does.

    The process log, and `fastrouter events`, tell what has come of it.
    """
    answer = client.call("POST", "/v1/reload")
    if is_json:
        print_json(answer)


@click.command("drain", cls=WholeCommand)
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until the router has ended; exit with 4 if it has not.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=1200.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
@asks_router
def drain_command(*, client: "AdminClient", is_json: bool, is_waiting: bool, timeout: float) -> None:
    """Have the router finish its requests and end, as SIGUSR1 does."""
    pid = client.get("/v1/overview")["pid"]
    try:
        # Before it can have ended: the number may be another's then.
        process = os.pidfd_open(pid)
    except OSError as error:
        raise CommandError(f"process {pid}: {error_text(error)}", 1) from error
    try:
        client.call("POST", "/v1/drain")
        has_ended = is_waiting and bool(select.select([process], [], [], timeout)[0])
    finally:
        os.close(process)
    if is_json:
        print_json({"pid": pid, "drained": has_ended})
    elif has_ended:
        click.echo(f"process {pid} has drained")
    if is_waiting and not has_ended:
        raise CommandError(f"process {pid} has not drained within {timeout:g} s", ANSWER_IS_NO)


@click.command("log-level", cls=WholeCommand)
@click.argument("level", required=False, type=click.Choice(["debug", "info", "warn", "error"]))
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Go back after this time.  [default: stay]",
)
@asks_router
def log_level_command(*, client: "AdminClient", is_json: bool, level: str | None, seconds: float | None) -> None:
    """Show the level of the process log, or set it to LEVEL."""
    if level is None:
        overview = client.get("/v1/overview")
        answer = {"level": overview["log_level"], "until": overview["log_level_until"]}
    else:
        answer = client.call("PUT", "/v1/log-level", {"level": level, **({"seconds": seconds} if seconds else {})})
    if is_json:
        print_json(answer)
    else:
        click.echo(answer["level"])


@click.group("endpoints", cls=WholeGroup)
def endpoints_group() -> None:
    """Take endpoints out of service for a while, whoever registers them."""


@endpoints_group.command("drain")
@click.argument("addresses", nargs=-1, required=True, metavar="HOST:PORT...")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until no request is in flight at them.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait; after it the exit code is 4.",
)
@asks_router
def drain_endpoints(
    *, client: "AdminClient", is_json: bool, addresses: tuple[str, ...], is_waiting: bool, timeout: float
) -> None:
    """Send no more requests to endpoints, but those of their sticky sessions."""
    deadline = time.monotonic() + timeout
    answers = [_set_state(client, address, "draining") for address in addresses]
    in_flight = dict.fromkeys(addresses, 0)
    while is_waiting:
        in_flight = {address: _in_flight(client, address) for address in addresses}
        if not any(in_flight.values()) or time.monotonic() >= deadline:
            break
        time.sleep(_POLL)
    for answer in answers:
        if is_waiting:
            answer["in_flight"] = in_flight[answer["id"]]
        _print_state(answer, is_json=is_json)
    if any(in_flight.values()):
        raise CommandError(f"requests are in flight after {timeout:g} s", ANSWER_IS_NO)


@endpoints_group.command("undrain")
@click.argument("addresses", nargs=-1, required=True, metavar="HOST:PORT...")
@asks_router
def undrain_endpoints(*, client: "AdminClient", is_json: bool, addresses: tuple[str, ...]) -> None:
    """Have endpoints serve again."""
    for address in addresses:
        _print_state(_set_state(client, address, "active"), is_json=is_json)


def _set_state(client: "AdminClient", address: str, state: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.call("PATCH", client.path("endpoints", address), {"state": state})
    return answer


def _print_state(answer: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        print_json(answer)
        return
    in_flight = f", {answer['in_flight']} requests in flight" if "in_flight" in answer else ""
    click.echo(f"{answer['id']} is {answer['state']}{in_flight}")


def _in_flight(client: "AdminClient", address: str) -> int:
    """Return how many requests wait for a response of an endpoint that drains; 0 if it is gone."""
    for route in client.items("/v1/routes", state="draining"):
        for endpoint in client.get(client.path("routes", route["route"]))["endpoints"]:
            if endpoint["id"] == address:
                # All routes of an endpoint share the count.
                return int(endpoint["in_flight"])
    return 0
