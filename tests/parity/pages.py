"""What is compared that is no exchange: `/routes` after registrations of all kinds, metrics, status listeners."""

import json
from collections.abc import Callable, Mapping

from prometheus_client.parser import text_string_to_metric_families

from integration.gorouter_process import get, register

from .normal_form import NOT_COMPARED, Difference
from .pair import Pair
from .registrations import MESSAGES


def registrations(pair: Pair) -> list[Difference]:
    """Send both all MESSAGES, and compare tables and what was logged about each message in the log."""
    found: list[Difference] = []
    for number, (subject, payload) in enumerate(MESSAGES):
        for router in pair.routers.values():
            router.barrier()
        before = {name: pair.raw_routes(router) for name, router in pair.routers.items()}
        pair.nats.publish(subject, payload)
        pair.nats.sync()
        register(pair.nats, "9.9.9.9:9", f"marker-{number}.reg")
        pair.wait_for_route(f"marker-{number}.reg", pair.routers)
        changes = {}
        logs = {}
        for name, router in pair.routers.items():
            after = pair.raw_routes(router)
            changes[name] = {
                key: after.get(key)
                for key in {*before[name], *after}
                if before[name].get(key) != after.get(key) and not key.startswith("marker-")
            }
            logs[name] = [event for event in router.barrier()[1] if "marker-" not in json.dumps(event.get("data", {}))]
        label = f"{subject.decode()} {payload.decode('utf-8', 'backslashreplace')}"
        for key in sorted({*changes["gorouter"], *changes["ours"]}):
            theirs, mine = (changes[name].get(key, "unchanged") for name in ("gorouter", "ours"))
            if theirs != mine:
                found += [
                    ("routes", "-", f"{label} => {key!r}: {theirs}"),
                    ("routes", "+", f"{label} => {key!r}: {mine}"),
                ]
        lines = {
            name: {_log_line(event) for event in events if event["message"] not in NOT_COMPARED}
            for name, events in logs.items()
        }
        found += [("logged", "-", f"{label} => {line}") for line in sorted(lines["gorouter"] - lines["ours"])]
        found += [("logged", "+", f"{label} => {line}") for line in sorted(lines["ours"] - lines["gorouter"])]
    return found


def _log_line(event: Mapping[str, object]) -> str:
    data = event.get("data", {})
    assert isinstance(data, dict)
    values = {key: value for key, value in data.items() if key != "error"}
    error = " +error" if "error" in data else ""
    return f"{event['log_level']} {event['message']} {json.dumps(values, sort_keys=True)}{error}"


def metrics(pair: Pair) -> list[Difference]:
    """Names, types, helps and labels of metrics after some traffic."""
    described = []
    for router in pair.routers.values():
        _, body = get(router.ports["metrics"], "/metrics")
        described.append(
            {
                f"{family.name} {family.type} {family.documentation!r} "
                f"{sorted({(sample.name, *sorted(sample.labels)) for sample in family.samples})}"
                for family in text_string_to_metric_families(body.decode())
            }
        )
    theirs, mine = described
    return [("metrics", "-", line) for line in sorted(theirs - mine)] + [
        ("metrics", "+", line) for line in sorted(mine - theirs)
    ]


def status(pair: Pair) -> list[Difference]:
    """Raw answers of the status listeners."""
    found: list[Difference] = []
    credentials = "Basic c3RhdHVzLXVzZXI6c3RhdHVzLXBhc3M="
    for port in ("status", "routes"):
        for target in (
            "/health",
            "/healthz",
            "/routes",
            "/varz",
            "/",
            "/is-process-alive-do-not-use-for-loadbalancing",
            "/health/",
        ):
            for method in ("GET", "HEAD", "POST"):
                for authorization in (
                    (),
                    (("Authorization", credentials),),
                    (("Authorization", "Basic eDp5"),),
                    (("Authorization", "x"),),
                ):
                    answers = [
                        pair.ask(router, port, method, target, authorization) for router in pair.routers.values()
                    ]
                    if answers[0] != answers[1]:
                        label = f"{port} {method} {target} {authorization}"
                        found += [("status", "-", f"{label}: {answers[0]}"), ("status", "+", f"{label}: {answers[1]}")]
    return found


def agent(pair: Pair) -> list[Difference]:
    """Names and units of all values that the Loggregator agent was told, and what counters have come to."""
    told = []
    for router in pair.routers.values():
        batches = len(router.agent.named("total_requests"))
        # The next batch may have begun before the last request; the one behind it has what is left.
        router.agent.wait_for_named("total_requests", batches + 2)
        named = [each for each in router.agent.received if "name" in each.event]
        sums = {
            name: router.agent.sum_of(name) for name in {each.event["name"] for each in named if "delta" in each.event}
        }
        units = {f"value {each.event['name']} {each.event['unit']!r}" for each in named if "unit" in each.event}
        told.append({f"counter {name} {total}" for name, total in sums.items()} | units)
    theirs, mine = told
    return [("agent", "-", line) for line in sorted(theirs - mine)] + [
        ("agent", "+", line) for line in sorted(mine - theirs)
    ]


CHECKS: Mapping[str, Callable[[Pair], list[Difference]]] = {
    "registrations": registrations,
    "metrics": metrics,
    "status": status,
    "agent": agent,
}
