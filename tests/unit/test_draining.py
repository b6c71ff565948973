"""Which endpoints drain: the state of an address, as long as something is registered there."""

from fastrouter.ipc.table_changes import Change, Introduce, SetDraining
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.registration import Registration
from fastrouter.registry.route_registry import RouteRegistry


class Drained:
    """A registry whose endpoint at 10.0.0.1:1 drains."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.registry = RouteRegistry(Logger(level=Level.ERROR), self.changes.append)
        self.first = self.register("a.test", "app")

    def register(self, uri: str, app: str, port: int = 1) -> Registration:
        registration = Registration(host="10.0.0.1", port=port, app=app)
        self.registry.register(uri, self.registry.new_endpoint(registration))
        return registration

    def unregister(self, uri: str, registration: Registration) -> None:
        self.registry.unregister(uri, self.registry.new_endpoint(registration))

    def drain(self, *, is_draining: bool = True) -> int:
        held = self.registry.held
        return sum(held.set_draining(address, is_draining=is_draining) for address in ("10.0.0.1:1", "10.0.0.1:9"))

    def introductions(self) -> list[bool]:
        return [change.is_draining for change in self.changes if isinstance(change, Introduce)]


def test_every_endpoint_at_the_address_drains() -> None:
    drained = Drained()
    drained.register("b.test", "other")
    drained.register("c.test", "app", port=2)
    assert drained.drain() == 2
    assert [change for change in drained.changes if isinstance(change, SetDraining)] == [
        SetDraining(0, True),
        SetDraining(1, True),
    ]
    assert drained.registry.held.draining() == ["10.0.0.1:1"]
    assert drained.drain(is_draining=False) == 2
    assert drained.registry.held.draining() == []
    assert drained.changes[-1] == SetDraining(1, False)


def test_what_takes_its_place_drains_as_well() -> None:
    drained = Drained()
    drained.drain()
    drained.register("a.test", "next version")
    assert drained.introductions() == [False, True]
    assert [change.is_draining for change in drained.registry.snapshot() if isinstance(change, Introduce)] == [True]


def test_it_ends_with_the_last_registration_of_the_address() -> None:
    drained = Drained()
    other = drained.register("b.test", "app")
    drained.drain()
    drained.unregister("a.test", drained.first)
    assert drained.registry.held.is_draining("10.0.0.1:1")
    drained.unregister("b.test", other)
    assert drained.registry.held.draining() == []
    drained.register("a.test", "another instance")
    assert drained.introductions()[-1] is False


def test_an_address_that_nobody_has_does_not_drain() -> None:
    drained = Drained()
    assert drained.registry.held.set_draining("10.0.0.9:1", is_draining=True) == 0
    assert drained.registry.held.draining() == []
