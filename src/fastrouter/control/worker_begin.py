"""What the workers of a router begin with: its options in the form of their first order."""

from collections.abc import Callable

from fastrouter.control.options import RouterOptions
from fastrouter.ipc.messages import Begin, MetronOptions, RouteServicesOptions, ServerTLS, SharedColumns
from fastrouter.ipc.route_counters import CounterBlock
from fastrouter.ipc.shared_stats import SLOTS, SharedStats
from fastrouter.logs.logger import Logger


def new_begin(
    options: RouterOptions,
    logger: Logger,
    shared: SharedStats,
    counter_block: CounterBlock,
    *,
    prepare_tls: Callable[[ServerTLS], ServerTLS],
    route_services: RouteServicesOptions | None,
    metron: MetronOptions | None,
) -> Begin:
    """Return the first order; the arguments by name are what the options do not say as a whole.

    `prepare_tls` gives the TLS of listeners what is decided at the start.
    """
    front_tls, internal_tls = (tls and prepare_tls(tls) for tls in (options.front_tls, options.internal_tls))
    return Begin(
        columns=SharedColumns(options.workers, SLOTS, 0, shared.bounds),
        counter_block=counter_block,
        settings=options.settings,
        backend_tls=options.backend_tls,
        front_tls=front_tls,
        internal_tls=internal_tls,
        proxy_protocol=options.proxy_protocol,
        route_services=route_services,
        error_template=options.error_template,
        log_source=logger.source,
        log_level=int(logger.level),
        log_timestamps=logger.timestamps,
        access_log=options.access_log,
        metron=metron,
        span_ratio=options.export.ratio if options.export is not None else None,
    )
