"""The worker's end of table changes: applies them to its RouteTable."""

from collections.abc import Callable, Iterable
from weakref import WeakValueDictionary

from fastrouter._core import Endpoint, RoutePolicy, RouteTable, Stats
from fastrouter.ipc.table_changes import (
    BatchDecoder,
    Change,
    Drop,
    Forget,
    HashRule,
    Introduce,
    PolicyRule,
    Put,
    Remove,
    SetDraining,
    SetRoute,
)


class TableApplier:
    """Keeps one RouteTable as the changes say, whether they come by a direct call or as frames of a stream.

    `on_refused` gets a change that `apply` refuses, and why; without it, `feed` and `apply_all` raise.

    With `stats`, which may be set later but before the first change, endpoints are counted over all workers. When the
    shared memory has no room for an endpoint, `on_unshared` is called with it, once; such endpoints are counted by each
    worker for itself.
    """

    def __init__(
        self,
        table: RouteTable,
        on_refused: Callable[[Change, ValueError], None] | None = None,
        on_unshared: Callable[[int], None] | None = None,
    ) -> None:
        self.stats: Stats | None = None
        self._table = table
        self._on_refused = on_refused
        self._on_unshared = on_unshared
        self._decoder = BatchDecoder()
        # By number. Numbers are used again, so a list stays dense, and costs a tenth of a dict.
        self._endpoints: list[Endpoint | None] = []
        # By what they are made of, as long as endpoints have them: those of an app share one.
        self._policies: WeakValueDictionary[PolicyRule, RoutePolicy] = WeakValueDictionary()

    def feed(self, data: bytes) -> None:
        """Apply the changes of the frames that `data` completes. Raises ValueError if it is no stream of batches."""
        for batch in self._decoder.feed(data):
            self.apply_all(batch)

    def apply_all(self, changes: Iterable[Change]) -> None:
        """Apply `changes` in their order."""
        for change in changes:
            try:
                self.apply(change)
            except ValueError as error:
                if self._on_refused is None:
                    raise
                self._on_refused(change, error)

    def apply(self, change: Change) -> None:
        """Apply one change. Raises ValueError for an endpoint that the data plane refuses or that is unknown."""
        match change:
            case Put(uri, number, slot):
                self._table.register(uri, self._endpoint(number), slot)
            case Introduce():
                self._introduce(change)
            case Remove(uri, address):
                self._table.unregister(uri, address)
            case Drop(uri):
                self._table.drop(uri)
            case SetRoute(uri, route_service_url, algorithm, latency_row, hashing):
                rule = hashing or HashRule()
                self._table.set_route(
                    uri,
                    route_service_url=route_service_url,
                    algorithm=algorithm,
                    latency_row=latency_row,
                    hash_source=rule.source,
                    hash_name=rule.name,
                    hash_balance=rule.balance,
                )
            case SetDraining(number, is_draining):
                self._endpoint(number).set_draining(is_draining)
            case Forget(number):
                self._endpoints[number] = None

    def _introduce(self, change: Introduce) -> None:
        endpoints = self._endpoints
        if change.number >= len(endpoints):
            endpoints.extend([None] * (change.number + 1 - len(endpoints)))
        endpoint = Endpoint(
            change.host,
            change.port,
            app_id=change.app_id,
            instance_id=change.instance_id,
            instance_index=change.instance_index,
            tls=change.tls,
            server_cert_domain_san=change.server_cert_domain_san,
            protocol=change.protocol,
            availability_zone=change.availability_zone,
            process_id=change.process_id,
            component=change.component,
            envelope_tags=change.envelope_tags,
            policy=self._policy(change.policy) if change.policy is not None else None,
        )
        endpoint.set_draining(change.is_draining)
        if self.stats is not None:
            self._share(endpoint, change, self.stats)
        endpoints[change.number] = endpoint

    def _policy(self, rule: PolicyRule) -> RoutePolicy:
        policy = self._policies.get(rule)
        if policy is None:
            policy = RoutePolicy(rule.scope, rule.sources, organization=rule.organization, space=rule.space)
            self._policies[rule] = policy
        return policy

    def _share(self, endpoint: Endpoint, change: Introduce, stats: Stats) -> None:
        if change.number < stats.slots:
            endpoint.share(stats, change.number, change.component_row, change.source_row)
        elif self._on_unshared is not None:
            self._on_unshared(change.number)
            self._on_unshared = None

    def _endpoint(self, number: int) -> Endpoint:
        endpoint = self._endpoints[number] if number < len(self._endpoints) else None
        if endpoint is None:
            raise ValueError(f"endpoint {number} was not introduced")
        return endpoint
