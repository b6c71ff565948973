# HashRouting: requests that have something in common go to the same endpoint of a route (spec 9.1).

# What of a request is hashed, by its name in the routing table.
cdef dict HASH_SOURCES = {
    "": HASH_NOTHING, "header": HASH_HEADER, "cookie": HASH_COOKIE, "path": HASH_PATH, "client-address": HASH_CLIENT_ADDRESS,
}


@cython.final
@cython.no_gc
cdef class HashRouting:
    # Not tracked by the collector, like EndpointPool.

    def __cinit__(self, str source not None, str name not None, double balance):
        """`name` is that of the header or cookie. Raises ValueError for an unknown source, or a name that is not ASCII."""
        if source not in HASH_SOURCES:
            raise ValueError(f"source must be one of {', '.join(HASH_SOURCES)}, not {source!r}")
        if not name.isascii():
            raise ValueError(f"name must be ASCII, not {name!r}")
        self.source = HASH_SOURCES[source]
        self.name = (name.lower() if self.source == HASH_HEADER else name).encode("ascii")
        self.kind = known_kind(PyBytes_AS_STRING(self.name), PyBytes_GET_SIZE(self.name))
        self.balance = balance

    cdef bint is_same_as(self, HashRouting other) noexcept:
        return self.source == other.source and self.name == other.name and self.balance == other.balance

    cdef int on_change(self) except -1:
        """The endpoints of the route have changed."""
        self.table = None
        return 0

    cdef bint is_ready(self, EndpointPool pool) except -1:
        """Whether an endpoint can be selected. The table is made when the first request needs it, a bounded part in one go."""
        if PyList_GET_SIZE(pool.endpoints) <= 1:
            return True
        if self.table is None:
            self.table = MaglevTable(pool.endpoints)
        return self.table.fill()

    cdef Endpoint select(self, EndpointPool pool, Exchange exchange):
        """What `choose` says; the next attempt begins behind its slot."""
        cdef int slot = exchange.round_trip.hash_slot
        cdef Endpoint endpoint = self.choose(pool, exchange, True, &slot)
        if endpoint is not None:
            exchange.round_trip.set_hash_slot(slot)
        return endpoint

    cdef Endpoint choose(self, EndpointPool pool, Exchange exchange, bint is_logged, int* next_slot):
        """The endpoint of the slot where the exchange is, or of the next slot whose endpoint may be taken; None without one.

        `next_slot` is the one behind it. An attempt begins behind the slot of the one before it, and passes over the endpoint
        that has just been tried. Failure marks and zones do not count.
        """
        cdef RoundTrip trip = exchange.round_trip
        cdef Settings settings = exchange.plane.settings
        cdef MaglevTable table = self.table
        cdef Endpoint endpoint
        cdef Endpoint tried = trip.endpoint if trip.attempt > 1 else None
        cdef unsigned char passed[MAGLEV_SLOTS]
        cdef int slot = trip.hash_slot
        cdef int i, index
        cdef int left
        if PyList_GET_SIZE(pool.endpoints) == 0:
            if is_logged:
                exchange.log(LOG_WARN, "hash-based-routing-pool-empty", {"host": pool.host})
            return None
        if PyList_GET_SIZE(pool.endpoints) == 1:
            endpoint = <Endpoint>PyList_GET_ITEM(pool.endpoints, 0)
            return None if is_overloaded(endpoint, settings) or pool.is_closed(endpoint) else endpoint
        left = table.count
        for i in range(MAGLEV_SLOTS):
            index = table.slots[slot]
            slot = slot + 1 if slot < MAGLEV_SLOTS - 1 else 0
            if i > 0 and passed[index]:
                continue
            endpoint = <Endpoint>PyList_GET_ITEM(table.members, index)
            if not (tried is not None and endpoint.address_bytes == tried.address_bytes) and self._may_take(
                pool, exchange, index, is_logged and i == 0
            ):
                next_slot[0] = slot
                return endpoint
            if i == 0:
                memset(passed, 0, table.count)
            passed[index] = 1
            left -= 1
            if left == 0:
                break
        if is_logged:
            exchange.log(LOG_ERROR, "hash-based-routing-failed", {"host": pool.host, "error": "all endpoints are overloaded"})
        return None

    cdef bint _may_take(self, EndpointPool pool, Exchange exchange, int index, bint is_logged) except -1:
        """Whether this member of the table may get one more request; the reason why not is logged if it is the first asked."""
        cdef MaglevTable table = self.table
        cdef Endpoint endpoint = <Endpoint>PyList_GET_ITEM(table.members, index)
        cdef int64_t total
        if pool.is_closed(endpoint):
            return False
        if is_overloaded(endpoint, exchange.plane.settings):
            if is_logged:
                exchange.log(LOG_INFO, "hash-based-routing-endpoint-overloaded", {
                    "host": pool.host, "endpoint-id": endpoint.instance_id,
                })
            return False
        if self.balance <= 0 or endpoint.total_in_flight[0] <= 0:
            return True
        total = table.in_flight(index)
        if <double>endpoint.total_in_flight[0] * table.count <= self.balance * total:
            return True
        if is_logged and exchange.plane.logs_debug:
            exchange.log(LOG_DEBUG, "hash-based-routing-endpoint-imbalanced", {
                "host": pool.host, "endpoint-id": endpoint.instance_id, "endpoint-connections": endpoint.in_flight,
                "average-load": total / <double>table.count,
            })
        return False
