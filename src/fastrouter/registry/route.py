"""A route and its members."""

from collections.abc import Collection

import msgspec

from fastrouter.ipc.table_changes import HashRule
from fastrouter.registry.endpoint import RegisteredEndpoint


class Member(msgspec.Struct, gc=False, eq=False):
    """An endpoint in one route, and when it was last registered there, by the registry's clock."""

    endpoint: RegisteredEndpoint
    refreshed_at: float


class Route(msgspec.Struct, gc=False, eq=False):
    """One route: the URI it was first registered by, and its members in order.

    `members` is the member itself if there is one, and None for a route that has lost its members and lingers.
    `changed_at` is the time of its last change, by the registry's clock. `algorithm` is empty as long as no endpoint
    has asked for one; `hashing` goes with `hash`. `slot` is where its requests are counted; 0: nowhere.
    """

    uri: str
    members: Member | dict[str, Member] | None
    route_service_url: str
    algorithm: str
    changed_at: float
    slot: int = 0
    hashing: HashRule | None = None

    def find(self, address: str) -> Member | None:
        """Return the member at `address`."""
        members = self.members
        if isinstance(members, Member):
            return members if members.endpoint.address == address else None
        return members.get(address) if members else None

    def add(self, member: Member) -> None:
        """Append a member of an address that no other has."""
        members = self.members
        if members is None:
            self.members = member
        elif isinstance(members, Member):
            self.members = {members.endpoint.address: members, member.endpoint.address: member}
        else:
            members[member.endpoint.address] = member

    def remove(self, address: str) -> None:
        """Remove the member at `address`, which must be there."""
        members = self.members
        if not isinstance(members, dict):
            self.members = None
            return
        del members[address]
        if len(members) == 1:
            (self.members,) = members.values()

    def all_members(self) -> Collection[Member]:
        """Return the members in order."""
        members = self.members
        if isinstance(members, Member):
            return (members,)
        return members.values() if members else ()
