"""Renders endpoints and routes for a successor, and reads those of a predecessor."""

from collections.abc import Callable, Iterable, Iterator

from fastrouter.registry.endpoint import APP, INSTANCE_ID, INSTANCE_INDEX, SAN, RegisteredEndpoint
from fastrouter.registry.handed_table import MEMBERS_AT_ONCE, HandedEndpoint, HandedMember, HandedRoute
from fastrouter.registry.registration import Options, Registration, refuse_unfit_text
from fastrouter.registry.route import Member, Route

_MAX_PORT = 65535


def handed_endpoint(number: int, endpoint: RegisteredEndpoint, failed_ago: float | None) -> HandedEndpoint:
    """Render `endpoint` for a successor under `number`; `failed_ago` is seconds."""
    host, _, port = endpoint.address.rpartition(":")
    texts = endpoint.texts()
    traits = endpoint.traits
    return HandedEndpoint(
        number=number,
        host=host,
        port=int(port),
        tls=traits.tls,
        app_id=texts[APP],
        instance_id=texts[INSTANCE_ID],
        instance_index=texts[INSTANCE_INDEX],
        server_cert_domain_san=texts[SAN],
        tags=endpoint.tags(texts),
        availability_zone=endpoint.availability_zone,
        protocol=traits.protocol,
        isolation_segment=traits.isolation_segment,
        route_service_url=traits.route_service_url,
        algorithm=traits.algorithm,
        hash_header=traits.hashing.name if traits.hashing is not None else "",
        hash_balance=traits.hashing.balance if traits.hashing is not None else 0.0,
        updated_at_ns=endpoint.updated_at_ns,
        stale_threshold=traits.stale_threshold,
        tag_guid=traits.modification_tag.guid,
        tag_index=traits.modification_tag.index,
        failed_ago=failed_ago,
        policy_scope=traits.policy.scope if traits.policy is not None else "",
        policy_sources=",".join(traits.policy.sources) if traits.policy is not None else "",
    )


def hand_over_routes(
    routes: Iterable[tuple[Route, list[Member]]],
    clock: Callable[[], float],
    age: Callable[[Member], float],
    failed_ago: Callable[[int], float | None],
) -> Iterator[HandedEndpoint | HandedRoute]:
    """Render `routes` with these members for a successor, each endpoint before the first route that has it.

    `clock` is that of the routes; `age` returns how long ago a member was registered, `failed_ago` how long ago the
    endpoint of a number failed, None if it did not; all in seconds.
    """
    # By identity. The dict keeps the endpoints alive, so that no later one gets the identity of a removed one.
    numbers: dict[RegisteredEndpoint, int] = {}
    count = 0
    for route, members in routes:
        for start in range(0, max(len(members), 1), MEMBERS_AT_ONCE):
            handed = []
            for member in members[start : start + MEMBERS_AT_ONCE]:
                endpoint = member.endpoint
                if endpoint.uses == 0:
                    # It was removed since the list of members was made.
                    continue
                number = numbers.get(endpoint)
                if number is None:
                    number = count
                    count += 1
                    if endpoint.uses > 1:
                        numbers[endpoint] = number
                    yield handed_endpoint(number, endpoint, failed_ago(endpoint.number))
                handed.append(HandedMember(number, age(member)))
            unchanged_for = clock() - route.changed_at
            yield HandedRoute(
                route.uri, tuple(handed), route.route_service_url, route.algorithm, unchanged_for, route.hashing
            )


def registration_of(handed: HandedEndpoint) -> Registration:
    """Return the registration that describes `handed`. Raises ValueError if none can."""
    if not 0 <= handed.port <= _MAX_PORT:
        raise ValueError(f"{handed.port} is no port")
    registration = Registration(
        host=handed.host,
        port=0 if handed.tls else handed.port,
        tls_port=handed.port if handed.tls else 0,
        app=handed.app_id,
        private_instance_id=handed.instance_id,
        private_instance_index=handed.instance_index,
        tags=handed.tags,
        route_service_url=handed.route_service_url,
        server_cert_domain_san=handed.server_cert_domain_san,
        isolation_segment=handed.isolation_segment,
        endpoint_updated_at_ns=handed.updated_at_ns,
        protocol=handed.protocol,
        availability_zone=handed.availability_zone,
        options=Options(
            handed.algorithm, handed.hash_header, handed.hash_balance, handed.policy_scope, handed.policy_sources
        ),
    )
    refuse_unfit_text(registration)
    return registration
