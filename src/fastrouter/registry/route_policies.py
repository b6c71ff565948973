"""Policies of routes: who may call them, as registrations and static routes say (spec 9.8)."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from fastrouter.ipc.table_changes import PolicyRule
from fastrouter.registry.registration import Options

# The tags of an endpoint that name its organization and its space.
ORGANIZATION_TAG, SPACE_TAG = "organization_id", "space_id"
SCOPES = ("any", "org", "space")
# A SPIFFE id as a source is fastrouter's; with `/*` behind it stands for everything below.
_SOURCE = re.compile(r"cf:any|cf:(?:app|space|org):[^\s,]+|spiffe://[^\s,]+")
# Policies that are taken apart once.
_MAX_KNOWN = 10_000


def is_source(text: str) -> bool:
    """Return whether a policy can have `text` as a source."""
    return _SOURCE.fullmatch(text) is not None


class PolicyFactory:
    """Makes the policies of endpoints; `on_malformed` is told of each source that nobody can be of."""

    def __init__(self, on_malformed: Callable[[str], object] = lambda _: None) -> None:
        self._on_malformed = on_malformed
        # So that a malformed source is told once, and not whenever the endpoint is registered again.
        self._sources_in = lru_cache(_MAX_KNOWN)(self._take_apart)

    def new(self, options: Options, tags: Mapping[str, str] | None) -> PolicyRule | None:
        """Return the policy that a registration asks for; None if it asks for none."""
        if not options.route_policy_scope:
            return None
        sources = self._sources_in(options.route_policy_sources)
        tags = tags or {}
        return PolicyRule(options.route_policy_scope, sources, tags.get(ORGANIZATION_TAG, ""), tags.get(SPACE_TAG, ""))

    def _take_apart(self, text: str) -> tuple[str, ...]:
        sources = tuple(source for one in text.split(",") if (source := one.strip()))
        for source in sources:
            if not is_source(source):
                self._on_malformed(source)
        return sources
