"""A router in the process of a test: the data plane with static routes, and nothing left of it afterwards."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastrouter.registry.static_routes import StaticEndpoint
    from fastrouter.testing.router import Event, Router

__all__ = ["Event", "Router", "StaticEndpoint"]


def __getattr__(name: str) -> Any:
    # pytest imports this package with its plugin wherever fastrouter is installed, and mostly for nothing.
    if name in __all__:
        from fastrouter.testing import router  # noqa: PLC0415

        return getattr(router, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
