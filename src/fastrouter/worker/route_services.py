"""Route services in a worker (spec 5.9): from the options in Begin to the object that the data plane uses."""

from collections.abc import Callable
from typing import Any

import msgspec

from fastrouter._core import RouteServices
from fastrouter.ipc.messages import RouteServicesOptions
from fastrouter.route_services.reach import EgressBlockList, HairpinHosts
from fastrouter.route_services.signature import RouteServiceSigner
from fastrouter.tls.backends import hairpin_context, route_service_context


def new_route_services(
    options: RouteServicesOptions | None, log: Callable[[int, str, dict[str, Any]], None]
) -> RouteServices:
    """Return what `options` describe; None means that none are supported. `log` gets the refused signatures.

    Raises as the functions of `tls` do.
    """
    if options is None:
        return RouteServices(None)
    hairpin = options.hairpin
    return RouteServices(
        RouteServiceSigner(options.key, options.previous_key, lifetime=options.lifetime, log=log),
        max_attempts=options.max_attempts,
        recommends_https=options.recommends_https,
        is_strict=options.is_strict,
        allows_websockets=options.allows_websockets,
        tls=route_service_context(**msgspec.structs.asdict(options.tls)),
        hairpin_port=hairpin.port if hairpin is not None else 0,
        hairpin_tls=hairpin_context(**msgspec.structs.asdict(hairpin.tls)) if hairpin is not None else None,
        is_hairpin_host=HairpinHosts(hairpin.allow_list).is_allowed if hairpin is not None else None,
        is_blocked=EgressBlockList(options.blocked_networks).is_blocked if options.blocked_networks else None,
    )
