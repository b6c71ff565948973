"""`fastrouter routes` and `fastrouter events`: the table of a router that runs, and what happens to it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from fastrouter.cli.admin_output import asks_router, print_facts, print_json, print_table, span_text, time_text
from fastrouter.cli.whole_help import WholeCommand, WholeGroup
from fastrouter.logs.error_text import error_text

if TYPE_CHECKING:
    from fastrouter.cli.admin_client import AdminClient

# What an event is about, in this order.
_EVENT_FIELDS = ("route", "endpoint", "app_id", "reason")


@click.group("routes", cls=WholeGroup)
def routes_group() -> None:
    """Look at the routing table, and change its static part."""


@routes_group.command("ls")
@click.argument("part", required=False)
@click.option("--app", metavar="ID", help="Only routes that this app serves.")
@click.option(
    "--state", type=click.Choice(["failed", "draining", "empty"]), help="Only with such an endpoint, or without any."
)
@click.option(
    "--sort",
    type=click.Choice(["route", "endpoints", "in-flight", "failed"]),
    default="route",
    show_default=True,
    help="Numbers come greatest first.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="NUMBER", help="So many at most.  [default: all]")
@asks_router
def list_routes(
    *,
    client: "AdminClient",
    is_json: bool,
    part: str | None,
    app: str | None,
    state: str | None,
    sort: str,
    limit: int | None,
) -> None:
    """List routes, all of them or those with PART in their name."""
    order = sort if sort == "route" else f"-{sort.replace('-', '_')}"
    routes = client.items("/v1/routes", limit, filter=part, app=app, state=state, sort=order)
    if is_json:
        for route in routes:
            print_json(route)
        return
    print_table(
        ("ROUTE", "ENDPOINTS", "DRAINING", "FAILED", "IN-FLIGHT", "APPS"),
        (
            (
                route["route"],
                route["endpoints"],
                route["draining"],
                route["failed"],
                route["in_flight"],
                ",".join(route["app_ids"]) or "-",
            )
            for route in routes
        ),
    )


@routes_group.command("get")
@click.argument("route")
@click.option("--history", "with_history", is_flag=True, help="What has changed of it lately, newest first, instead.")
@asks_router
def get_route(*, client: "AdminClient", is_json: bool, route: str, with_history: bool) -> None:
    """Show a route with its endpoints; exit with 4 if there is none."""
    path = client.path("routes", route)
    if with_history:
        changes = client.get(f"{path}/history")["changes"]
        for change in changes:
            _print_event(change, is_json=is_json)
        return
    found = client.get(path)
    if is_json:
        print_json(found)
        return
    print_facts(
        [
            ("route", found["uri"]),
            ("algorithm", found["algorithm"] or "the router's own"),
            ("route service", found["route_service_url"] or "-"),
            ("endpoints", found["total"]),
        ]
    )
    click.echo()
    print_table(
        ("ENDPOINT", "STATE", "IN-FLIGHT", "APP", "INDEX", "INSTANCE", "ZONE", "FROM", "AGE", "TTL", "LAST FAILURE"),
        (_endpoint_row(endpoint) for endpoint in found["endpoints"]),
    )


def _endpoint_row(endpoint: dict[str, Any]) -> tuple[object, ...]:
    failure = endpoint["last_failure"]
    return (
        endpoint["id"],
        endpoint["state"],
        endpoint["in_flight"],
        endpoint["app_id"] or "-",
        endpoint["instance_index"] or "-",
        endpoint["instance_id"] or "-",
        endpoint["zone"] or "-",
        endpoint["origin"] or "-",
        *("-" if endpoint[key] is None else span_text(endpoint[key]) for key in ("age", "ttl")),
        f"{failure['reason']}, {span_text(failure['age'])} ago" if failure is not None else "-",
    )


@routes_group.command("watch")
@click.argument("route", required=False)
@click.option("--past", "with_past", is_flag=True, help="Begin with what the router remembers.")
@click.option("--count", type=click.IntRange(min=1), metavar="NUMBER", help="End after so many changes.")
@asks_router
def watch_routes(
    *, client: "AdminClient", is_json: bool, route: str | None, with_past: bool, count: int | None
) -> None:
    """Print each change of the table, or of ROUTE and its endpoints, until Ctrl-C."""
    events = _events(client, with_past=with_past, route=route)
    _print_events(
        (event for event in events if event["kind"].startswith(("route-", "endpoint-"))), count, is_json=is_json
    )


@click.command("events", cls=WholeCommand)
@click.argument("kind", required=False)
@click.option("--past", "with_past", is_flag=True, help="Begin with what the router remembers.")
@click.option("--count", type=click.IntRange(min=1), metavar="NUMBER", help="End after so many events.")
@asks_router
def events_command(
    *, client: "AdminClient", is_json: bool, kind: str | None, with_past: bool, count: int | None
) -> None:
    """Print what happens in the router, or what begins with KIND of it, until Ctrl-C."""
    _print_events(_events(client, with_past=with_past, kind=kind), count, is_json=is_json)


def _events(client: "AdminClient", *, with_past: bool, **query: str | None) -> Iterator[dict[str, Any]]:
    for event in client.events("/v1/events", after="0" if with_past else None, **query):
        if "kind" in event:
            yield event
        else:
            click.echo("events are missing here", err=True)


def _print_events(events: Iterator[dict[str, Any]], count: int | None, *, is_json: bool) -> None:
    for number, event in enumerate(events, 1):
        _print_event(event, is_json=is_json)
        if number == count:
            return


def _print_event(event: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        print_json(event)
        return
    about = [str(event[field]) for field in _EVENT_FIELDS if event.get(field)]
    data = [f"{name}={value}" for name, value in event.get("data", {}).items()]
    click.echo(" ".join([time_text(event["time"]), event["kind"], *about, *data]))


@routes_group.command("add")
@click.argument("route")
@click.argument("addresses", nargs=-1, required=True, metavar="HOST:PORT...")
@click.option("--app-id", default="", metavar="ID", help="For X-Cf-Applicationid and the access log.")
@click.option("--tls", is_flag=True, help="The backends speak TLS.")
@click.option("--server-name", default="", metavar="NAME", help="The name that their certificates must have.")
@click.option("--protocol", type=click.Choice(["http1", "http2", "h2c"]), help="What they speak.  [default: http1]")
@asks_router
def add_route(
    *,
    client: "AdminClient",
    is_json: bool,
    route: str,
    addresses: tuple[str, ...],
    app_id: str,
    tls: bool,
    server_name: str,
    protocol: str | None,
) -> None:
    """Add a static route, or replace what was added under its name."""
    given = {"tls": tls, "server_cert_domain_san": server_name, "protocol": protocol}
    options = {name: value for name, value in given.items() if value}
    endpoints = [{"address": address, **options} for address in addresses]
    _print_kept(_put(client, {"route": route, "app_id": app_id, "endpoints": endpoints}), is_json=is_json)


@routes_group.command("rm")
@click.argument("route")
@asks_router
def remove_route(*, client: "AdminClient", is_json: bool, route: str) -> None:
    """Remove a static route that was added; exit with 4 if there is none."""
    _print_kept(client.call("DELETE", client.path("static-routes", route)), is_json=is_json)


@routes_group.command("save")
@click.argument("file", required=False, type=click.File("w"), default="-")
@asks_router
def save_routes(*, client: "AdminClient", is_json: bool, file: Any) -> None:
    """Write the static routes to FILE, or to the output, as a file for --routes and for `routes load`."""
    import yaml  # noqa: PLC0415 few commands need it

    routes = client.get("/v1/static-routes")["routes"]
    if is_json:
        for route in routes:
            print_json(route)
        return
    kept = [{key: route[key] for key in ("route", "app_id", "endpoints") if route[key]} for route in routes]
    yaml.safe_dump({"routes": kept}, file, sort_keys=False)


@routes_group.command("load")
@click.argument("file", metavar="FILE")
@asks_router
def load_routes(*, client: "AdminClient", is_json: bool, file: str) -> None:
    """Add the static routes of a file; the file is checked as a whole before the first one is added."""
    import msgspec  # noqa: PLC0415

    from fastrouter.registry.static_routes import RoutesError, load_routes_file  # noqa: PLC0415

    try:
        routes = load_routes_file(file)
    except (RoutesError, OSError) as error:
        raise click.ClickException(error_text(error)) from error
    for route in routes:
        document = msgspec.to_builtins(route)
        document["endpoints"] = [{key: value for key, value in one.items() if value} for one in document["endpoints"]]
        answer = {"route": route.route, **_put(client, document)}
        if is_json:
            print_json(answer)
    if not is_json:
        click.echo(f"{len(routes)} routes")


def _put(client: "AdminClient", route: dict[str, Any]) -> dict[str, Any]:
    body = {"endpoints": route["endpoints"], **({"app_id": route["app_id"]} if route["app_id"] else {})}
    answer: dict[str, Any] = client.call("PUT", client.path("static-routes", route["route"]), body)
    return answer


def _print_kept(answer: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        print_json(answer)
        return
    kept = f"kept in {answer['kept']}" if answer["kept"] else "not kept: it is gone with the router"
    click.echo(f"{answer['changed']} changed, {answer['removed']} removed, {kept}")
