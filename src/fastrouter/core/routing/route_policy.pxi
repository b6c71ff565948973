# RoutePolicy: which callers may reach an endpoint (spec 9.8). It comes with the endpoint, so nobody meets one without its policy.

cdef tuple POLICY_VERDICTS = (
    "admits", "no_caller", "other_organization", "other_space", "unknown_scope", "no_sources", "other_sources",
)
# What the access log calls a verdict, as Gorouter does; the source that admits stands behind the first.
cdef tuple _policy_rules = (
    "route:", "identity_extraction", "domain:scope=org:post-selection", "domain:scope=space:post-selection",
    "domain:scope=unknown:post-selection", "", "route:route_policies",
)


@cython.no_gc
cdef class RoutePolicy:
    # Not tracked by the collector: it leads nowhere but to texts.

    def __init__(self, str scope not None, sources=(), *, str organization="", str space=""):
        self.scope = scope
        self.sources = tuple(sources)
        self.ranks = {}
        for rank, source in enumerate(self.sources):
            self.ranks.setdefault(source.encode("utf-8", "replace"), rank)
        self.organization = organization.encode("utf-8", "replace")
        self.space = space.encode("utf-8", "replace")

    cdef int verdict_on(self, Caller caller) except -1:
        """POLICY_*: first the scope, then the sources; what is unknown equals nothing, not even what is unknown, too."""
        if caller is None:
            return POLICY_NO_CALLER
        if self.scope == "org":
            if not self.organization or caller.organization != self.organization:
                return POLICY_OTHER_ORGANIZATION
        elif self.scope == "space":
            if not self.space or caller.space != self.space:
                return POLICY_OTHER_SPACE
        elif self.scope != "any":
            return POLICY_UNKNOWN_SCOPE
        if not self.sources:
            return POLICY_NO_SOURCES
        return POLICY_OTHER_SOURCES if self.source_of(caller) is None else POLICY_ADMITS

    cdef str source_of(self, Caller caller):
        """The first of its sources that `caller` is of, or None."""
        cdef Py_ssize_t best = len(self.sources)
        for claim in caller.claims:
            best = min(best, self.ranks.get(claim, best))
        return self.sources[best] if best < len(self.sources) else None


cdef int verdict_on(EndpointPool pool, Endpoint endpoint, Caller caller) except -1:
    """POLICY_*: whether `caller` may reach `endpoint` of `pool`. Beside one with a policy, one without admits nobody."""
    if endpoint.policy is not None:
        return endpoint.policy.verdict_on(caller)
    if not pool.is_guarded:
        return POLICY_ADMITS
    return POLICY_NO_CALLER if caller is None else POLICY_NO_SOURCES
