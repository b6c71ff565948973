"""The commands about requests: `explain`, `requests`, `top` and `tail`."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fastrouter.cli.admin_output import (
    ANSWER_IS_NO,
    Command,
    CommandError,
    asks_router,
    print_facts,
    print_json,
    print_table,
    span_text,
    table_lines,
    time_text,
)
from fastrouter.cli.whole_help import WholeCommand

if TYPE_CHECKING:
    from fastrouter.cli.admin_client import AdminClient

# Seconds between two looks of `top`.
_TOP_INTERVAL = 2.0
# Seconds before a tail that has ended begins again.
_TAIL_REST = 0.2
# To the upper left corner; clear what is behind, on the line and below.
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

# Of `Candidate.verdict` of the API.
VERDICTS = {
    "chosen": "chosen",
    "by_chance": "possible, chance decides",
    "full": "has as many requests as it may",
    "draining": "draining",
    "other_zone": "of another zone",
    "failed": "marked as failed",
    "other_instance": "not the instance that the header names",
    "not_sticky": "not the session's",
    "busier": "has more requests in flight",
    "not_its_turn": "comes later in the round",
    "other_hash": "not the one that the hash names",
    "not_asked": "not looked at",
}


# Of `Explanation.refusal` and `Candidate.policy` of the API.
REFUSALS = {
    "misdirected": "the host is of another mTLS domain than the connection, or one of the two is of none",
    "no_caller": "nobody knows who asks: no certificate that names an app",
    "other_organization": "the caller is of another organization",
    "other_space": "the caller is of another space",
    "unknown_scope": "the scope of its policy is unknown",
    "no_sources": "its policy has nobody who may call",
    "other_sources": "its policy lets others call",
}


def _limit_option(most: int, default: int, text: str) -> Callable[[Command], Command]:
    """Return the option `--limit` of a list."""
    return click.option(
        "-n",
        "--limit",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        metavar="NUMBER",
        help=text,
    )


@click.command("explain", cls=WholeCommand)
@click.argument("url")
@click.option("-X", "--method", default="GET", show_default=True, metavar="METHOD", help="The request's method.")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header of it; Host is in place of the URL's. Repeatable.",
)
@click.option(
    "--caller",
    "callers",
    multiple=True,
    metavar="NAME",
    help="What the client's certificate says of it, where the host needs one: app:GUID, space:GUID, organization:GUID, "
    "or a SPIFFE id. Repeatable.",
)
@asks_router
def explain_command(
    *,
    client: "AdminClient",
    is_json: bool,
    url: str,
    method: str,
    headers: tuple[str, ...],
    callers: tuple[str, ...],
) -> None:
    """Tell where a request for URL would go, and why; exit with 4 if the router would answer by itself.

    The request is not sent. Without http:// or https://, URL is one of http.
    """
    url = url if "://" in url else f"http://{url}"
    body = {
        "url": url,
        "method": method,
        "headers": [_header_of(text) for text in headers],
        "caller": list(callers),
    }
    told = client.call("POST", "/v1/explain", body)
    if is_json:
        print_json(told)
    else:
        print_facts([("request", _printable(f"{method} {url}")), *_explanation_facts(told)])
        if told["candidates"]:
            click.echo()
            print_table(
                ("ENDPOINT", "VERDICT", "IN-FLIGHT", "APP", "INDEX", "INSTANCE", "ZONE"),
                [_candidate_row(one) for one in told["candidates"]],
            )
    if told["status"]:
        raise CommandError(f"the router answers by itself, with {told['status']}", ANSWER_IS_NO)


def _header_of(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is no header: expected 'NAME: VALUE'", param_hint="'--header'")
    return name.strip(), value.strip()


def _explanation_facts(told: dict[str, Any]) -> Iterator[tuple[str, object]]:
    if told["route"]:
        kind = "any host below" if told["is_wildcard"] else "host"
        path = f" and path {told['path']}" if told["path"] != "/" else ""
        yield "route", f"{told['route']}, by {kind} {told['host'].removeprefix('*.')}{path}"
        owner = "the route's" if told["is_algorithm_own"] else "the router's"
        yield "algorithm", f"{told['algorithm']}, {owner} own"
    if told["mutual_tls_domain"]:
        yield "mTLS domain", f"{told['mutual_tls_domain']}, whose CAs have verified the client"
    if told["policy_scope"]:
        yield "policy", _policy_text(told)
    if told["route_service"]:
        yield "route service", f"{told['route_service']}, {'visited' if told['visits_route_service'] else 'passed by'}"
    if told["instance"]:
        yield "instance", f"{_printable(told['instance'])}, which a header names"
    if told["sticky"]:
        there = "" if told["is_sticky_there"] else ", which is not there"
        yield "session", f"of {_printable(told['sticky'])}{there}{', and of no other' if told['must_stick'] else ''}"
    if told["max_conns"] and told["route"]:
        yield "limit", f"{told['max_conns']} requests in flight at an endpoint"
    if told["prefers_zone"]:
        yield "zone", f"{told['prefers_zone']} goes first"
    if told["forgets_marks"]:
        yield "marks", "all that could serve are marked as failed, so marks do not count"
    if told["endpoints"]:
        cut = f", of which {len(told['candidates'])} are shown" if told["endpoints"] > len(told["candidates"]) else ""
        yield "endpoints", f"{told['endpoints']}{cut}"
    yield "choice", _choice_text(told)


def _policy_text(told: dict[str, Any]) -> str:
    sources: list[str] = told["policy_sources"]
    return f"scope {_printable(told['policy_scope'])}; {_printable(', '.join(sources) or 'nobody')} may call"


def _choice_text(told: dict[str, Any]) -> str:
    if told["refusal"]:
        return f"none: {told['status']}, {REFUSALS.get(told['refusal'], told['refusal'])}"
    if told["status"]:
        reason = f" ({told['router_error']})" if told["router_error"] else ""
        return f"none: {_printable(told['message'] or str(told['status']))}{reason}"
    if told["visits_route_service"]:
        return "the route service"
    chosen: list[str] = told["chosen"]
    return chosen[0] if len(chosen) == 1 else f"one of {len(chosen)}, as chance decides"


def _candidate_row(candidate: dict[str, Any]) -> tuple[object, ...]:
    verdict = VERDICTS.get(candidate["verdict"], candidate["verdict"])
    if candidate["failed_ago"] is not None:
        # Also of one that is chosen all the same.
        mark = "" if candidate["verdict"] == "failed" else ", marked as failed"
        verdict += f"{mark}: {candidate['failure'] or 'unexplained'}, {span_text(candidate['failed_ago'])} ago"
    if candidate["policy"] in REFUSALS:
        verdict += f"; {REFUSALS[candidate['policy']]}"
    return (
        candidate["address"],
        verdict,
        candidate["in_flight"],
        *(candidate[key] or "-" for key in ("app", "index", "instance_id", "zone")),
    )


@click.command("requests", cls=WholeCommand)
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Only those under way for so long.  [default: all]",
)
@_limit_option(1000, 100, "So many at most.")
@asks_router
def requests_command(*, client: "AdminClient", is_json: bool, older_than: float, limit: int) -> None:
    """List requests that are under way, the oldest first."""
    found = client.get("/v1/requests", older_than=older_than, limit=limit)
    if is_json:
        for request in found["items"]:
            print_json(request)
    else:
        print_table(
            ("AGE", "STATE", "METHOD", "URL", "ENDPOINT", "TRIES", "RECEIVED", "SENT", "CLIENT", "ID"),
            [_request_row(request) for request in found["items"]],
        )
    if (more := found["total"] - len(found["items"])) > 0:
        click.echo(f"{more} more are under way", err=True)


def _request_row(request: dict[str, Any]) -> tuple[object, ...]:
    return (
        span_text(request["age"]),
        request["state"],
        _printable(request["method"]),
        _printable(request["host"] + request["path"]),
        request["endpoint"] or "-",
        request["attempts"],
        request["bytes_received"],
        request["bytes_sent"],
        request["client"] or "-",
        request["request_id"] or "-",
    )


@click.command("top", cls=WholeCommand)
@click.option(
    "--by",
    type=click.Choice(["errors", "p99", "rps", "inflight"]),
    default="errors",
    show_default=True,
    help="What routes stand out by.",
)
@click.option(
    "--window",
    type=click.Choice(["10", "60", "600", "3600"]),
    default="60",
    show_default=True,
    help="Seconds that are looked back.",
)
@click.option("--once", is_flag=True, help="Print one table, on a terminal, too.")
@_limit_option(500, 20, "So many routes at most.")
@asks_router
def top_command(*, client: "AdminClient", is_json: bool, by: str, window: str, once: bool, limit: int) -> None:
    """Show the routes that stand out: on a terminal again and again until Ctrl-C, in a pipe once."""
    is_live = not once and not is_json and sys.stdout.isatty()
    while True:
        top = client.get("/v1/top", by=by, window=window, limit=limit)
        if is_json:
            for route in top["items"]:
                print_json(route)
        elif not is_live:
            for line in _top_lines(top):
                click.echo(line)
        else:
            about = f"{top['total']} routes by {by} over {span_text(top['seconds'])}; Ctrl-C ends"
            _redraw([about, "", *_top_lines(top)])
        if not is_live:
            return
        time.sleep(_TOP_INTERVAL)


def _top_lines(top: dict[str, Any]) -> list[str]:
    # The route is last: what a narrow terminal cuts is its end.
    headings = ("REQ/S", "ERRORS", "MEDIAN", "99%", "IN-FLIGHT", "RETRIES/S", "ROUTE")
    rows = [
        (
            f"{route['requests_per_second']:.1f}",
            f"{route['errors'] * 100:.2f}%",
            *(_latency_text(route[key]) if route["requests_per_second"] else "-" for key in ("p50", "p99")),
            route["in_flight"],
            f"{route['retries_per_second']:.1f}",
            route["route"],
        )
        for route in top["items"]
    ]
    return list(table_lines(headings, rows))


def _redraw(lines: Sequence[str]) -> None:
    """Write over what the terminal shows, without a flicker."""
    columns, rows = shutil.get_terminal_size()
    # The last row stays empty: a line end there would scroll.
    shown = [f"{line[:columns]}{_CLEAR_LINE}\n" for line in lines[: rows - 1]]
    click.echo(f"{_HOME}{''.join(shown)}{_CLEAR_BELOW}", nl=False)


@click.command("tail", cls=WholeCommand)
@click.option("--route", metavar="ROUTE", help="Only of this route.")
@click.option("--status", type=click.IntRange(1, 5), metavar="DIGIT", help="Only those whose status begins with this.")
@click.option("--slower-than", type=click.FloatRange(min=0), metavar="SECONDS", help="Only those that took so long.")
@click.option(
    "--sample",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="FRACTION",
    help="Of these, a part by chance: 0.01 is one of a hundred.  [default: all]",
)
@click.option("--count", type=click.IntRange(min=1), metavar="NUMBER", help="End after so many requests.")
@asks_router
def tail_command(
    *,
    client: "AdminClient",
    is_json: bool,
    route: str | None,
    status: int | None,
    slower_than: float | None,
    sample: float | None,
    count: int | None,
) -> None:
    """Print requests as they end, until Ctrl-C."""
    requests = _tail(client, route=route, status=status, slower_than=slower_than, sample=sample)
    for number, request in enumerate(requests, 1):
        if is_json:
            print_json(request)
        else:
            click.echo(_ended_line(request))
        if number == count:
            return


def _tail(client: "AdminClient", **query: Any) -> Iterator[dict[str, Any]]:
    """Yield requests that end, whatever becomes of the processes that tell of them. Raises AdminError."""
    from fastrouter.cli.admin_client import BrokenStreamError  # noqa: PLC0415 30 ms that `run` has not to wait

    while True:
        try:
            for data in client.events("/v1/tail", **query):
                if "lost" in data:
                    click.echo(f"{data['lost']} more were too many to be told", err=True)
                else:
                    yield data
        except BrokenStreamError:
            # The admin process has died; the next one answers at the same place.
            pass
        click.echo("the tail has broken off and begins again: requests may be missing here", err=True)
        time.sleep(_TAIL_REST)


def _ended_line(request: dict[str, Any]) -> str:
    attempts, error = request["attempts"], request["router_error"]
    parts = [
        time_text(request["at"]),
        str(request["status"] or "-"),
        _printable(request["method"]),
        _printable(request["host"] + request["path"]),
        _latency_text(request["latency"]),
        request["endpoint"] or "-",
        *([f"attempts={attempts}"] if attempts > 1 else []),
        *([f"error={error}"] if error else []),
    ]
    return " ".join(parts)


def _latency_text(seconds: float) -> str:
    return f"{seconds * 1000:.1f}ms" if seconds < 1 else span_text(seconds)


def _printable(text: str) -> str:
    """Return what a client has sent so that it does nothing to a terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
