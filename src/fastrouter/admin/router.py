"""`/v1/overview`, `/v1/workers`, `/v1/nats`, `/v1/config`: the router as a whole."""

import time
from typing import Any

import msgspec
from aiohttp import web

from fastrouter.admin.certificates import Certificates, NextExpiry
from fastrouter.admin.control_link import ControlLink
from fastrouter.admin.endpoint import Endpoint
from fastrouter.admin.problems import ProblemError
from fastrouter.admin.table_replica import TableReplica
from fastrouter.admin.traffic import Rates, Traffic
from fastrouter.ipc.admin_messages import AdminBegin, AskState, NatsFacts, RouterState, WorkerFacts


class Counts(msgspec.Struct, frozen=True):
    """What has been counted since the start of the router, and connections that are open now."""

    requests: int
    responses_2xx: int
    responses_3xx: int
    responses_4xx: int
    responses_5xx: int
    bad_gateways: int
    attempts: int
    client_connections: int
    idle_backend_connections: int


class Overview(msgspec.Struct, frozen=True):
    """The router at a glance. Times are Unix times, `uptime` is seconds; `log_level_until` is null without an end."""

    version: str
    pid: int
    started_at: float
    uptime: float
    state: str
    healthy: bool
    has_successor: bool
    log_level: str
    log_level_until: float | None
    table_loaded: bool
    routes: int
    endpoints: int
    draining_endpoints: int
    workers: int
    serving_workers: int
    nats_connected: bool | None
    registrations: int
    unregistrations: int
    pruned: int
    ms_since_last_registration: int | None
    next_certificate: NextExpiry | None
    counts: Counts
    rates: Rates


class Workers(msgspec.Struct, frozen=True):
    """All workers."""

    workers: list[WorkerFacts]


class RateHistory(msgspec.Struct, frozen=True):
    """Rates every ten seconds, of the last hour at most, oldest first."""

    points: list[Rates]


class RouterFacts:
    """Answers with what the control process says of itself, and with the shared counters."""

    def __init__(
        self,
        begin: AdminBegin,
        table: TableReplica,
        traffic: Traffic,
        certificates: Certificates,
        control: ControlLink,
    ) -> None:
        self._begin = begin
        self._table = table
        self._traffic = traffic
        self._certificates = certificates
        self._control = control
        self.is_table_loaded = False

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        return [
            Endpoint("GET", "/v1/overview", "read", self._overview, "The router at a glance.", Overview),
            Endpoint("GET", "/v1/overview/history", "read", self._history, "Rates of the last hour.", RateHistory),
            Endpoint("GET", "/v1/workers", "read", self._workers, "The worker processes.", Workers),
            Endpoint("GET", "/v1/nats", "read", self._nats, "The connection to NATS.", NatsFacts),
            Endpoint(
                "GET",
                "/v1/config",
                "read",
                self._config,
                "The effective configuration, secrets masked.",
                dict[str, Any],
            ),
        ]

    async def _overview(self, request: web.Request) -> Overview:
        del request
        state = await self._control.ask(AskState(), RouterState)
        counts = self._traffic.counts()
        return Overview(
            version=self._begin.version,
            pid=self._begin.pid,
            started_at=self._begin.started_at,
            uptime=max(0.0, time.time() - self._begin.started_at),
            state=state.state,
            healthy=state.healthy,
            has_successor=state.has_successor,
            log_level=state.log_level,
            log_level_until=state.log_level_until,
            table_loaded=self.is_table_loaded,
            routes=len(self._table.routes),
            endpoints=len(self._table.holders),
            draining_endpoints=len(self._table.draining),
            workers=len(state.workers),
            serving_workers=sum(worker.state == "serving" for worker in state.workers),
            nats_connected=state.nats.connected if state.nats is not None else None,
            registrations=state.registrations,
            unregistrations=state.unregistrations,
            pruned=state.pruned,
            ms_since_last_registration=state.ms_since_last_registration,
            next_certificate=await self._certificates.next_expiry(),
            counts=Counts(
                requests=counts["total_requests"],
                responses_2xx=counts["responses_2xx"],
                responses_3xx=counts["responses_3xx"],
                responses_4xx=counts["responses_4xx"],
                responses_5xx=counts["responses_5xx"],
                bad_gateways=counts["bad_gateways"],
                attempts=counts["requests"],
                client_connections=counts["client_connections"],
                idle_backend_connections=counts["idle_backend_connections"],
            ),
            rates=self._traffic.now(),
        )

    async def _history(self, request: web.Request) -> RateHistory:
        del request
        return RateHistory(self._traffic.history())

    async def _workers(self, request: web.Request) -> Workers:
        del request
        state = await self._control.ask(AskState(), RouterState)
        return Workers(list(state.workers))

    async def _nats(self, request: web.Request) -> NatsFacts:
        del request
        state = await self._control.ask(AskState(), RouterState)
        if state.nats is None:
            raise ProblemError(404, "this router has no NATS")
        return state.nats

    async def _config(self, request: web.Request) -> web.Response:
        del request
        return web.Response(body=self._begin.configuration, content_type="application/json")
