# RouteTable: host and path -> EndpointPool (spec 3.3, 3.7).
#
# A tree over the segments of `host/path`: the root's children are hosts (a wildcard host is the segment `*.example.com`), below
# them one node per path segment. A lookup walks it for the exact host, then for wider and wider wildcards.

# Bytes of a host: no DNS name is longer, so longer hosts have no route.
cdef Py_ssize_t HOST_MAX = 255


@cython.no_gc
cdef class RouteNode:
    """One segment. `pool` is None where no route ends. A tree has no cycles, so the collector does not track it."""

    def __cinit__(self):
        self.children = None
        self.pool = None


cdef class RouteTable:
    def __cinit__(self):
        self.root = RouteNode()
        self.root.children = {}
        self.size = 0

    def __len__(self):
        return self.size

    def count_in(self, RouteCounters counters not None):
        """Count requests of the routes that are registered from now on, by the data planes that are made from now on."""
        self.counters = counters

    def register(self, str uri, Endpoint endpoint not None, int slot=0):
        """Put `endpoint` under the route `uri` (host[/path]): a new route, a new endpoint, or in place of its address.

        A new route counts in `slot` of the RouteCounters, which has been another's until now; 0: it does not count. Raises
        ValueError if there is no such slot.
        """
        cdef RouteNode node = self.root
        cdef RouteNode child
        cdef bytes key = _key_bytes(uri)
        cdef bytes name
        if endpoint.policy is not None:
            self.is_guarded = True
        for segment in key.split(b"/"):
            if segment == key:
                # Most routes are a host without a path: then the key of the tree and the name of the pool share one object.
                segment = key
            if node.children is None:
                node.children = {}
            child = node.children.get(segment)
            if child is None:
                child = node.children[segment] = RouteNode()
            node = child
        if node.pool is None:
            name = _without_query(uri).encode("utf-8", "replace")
            node.pool = EndpointPool(key if name == key else name, [endpoint])
            self.size += 1
            if slot and self.counters is not None:
                self.counters.claim(slot, key)
                node.pool.slot = slot
        else:
            node.pool.put(endpoint)

    def unregister(self, str uri, str address):
        """Take the endpoint at `address` (host:port) off the route `uri`, which stays; True if it was there."""
        cdef EndpointPool pool = self._pool_of(uri)
        return pool is not None and pool.remove(address.encode("latin-1", "replace"))

    def drop(self, str uri):
        """Remove the route `uri` with whatever endpoints it has; True if it was there."""
        cdef list way = []
        cdef RouteNode node = self.root
        cdef RouteNode child
        for segment in _key_bytes(uri).split(b"/"):
            if node.children is None or segment not in node.children:
                return False
            way.append((node, segment))
            node = node.children[segment]
        if node.pool is None:
            return False
        # Its slot is another's soon, and requests that are under way must not count there.
        node.pool.slot = 0
        node.pool = None
        self.size -= 1
        # Nodes without a route and without children are removed, so that the tree holds only its routes.
        for node, segment in reversed(way):
            child = node.children[segment]
            if child.pool is not None or child.children is not None:
                break
            del node.children[segment]
            if node.children or node is self.root:
                break
            node.children = None
        return True

    def set_route(self, str uri, *, str route_service_url="", str algorithm="", int latency_row=0, str hash_source="",
                  str hash_name="", double hash_balance=0.0):
        """Set the attributes of a route as a whole; the last registration wins (spec 3.4).

        `latency_row` is that of `fastrouter_route_latency_seconds`. With the algorithm `hash`, requests are balanced by their
        `hash_source`: `header` or `cookie` of the name `hash_name`, `path` or `client-address`. Raises ValueError for a row or
        a source that there is not.
        """
        cdef EndpointPool pool = self._pool_of(uri)
        cdef HashRouting hashing = HashRouting(hash_source, hash_name, hash_balance) if algorithm == "hash" else None
        if not 0 <= latency_row < HISTOGRAM_ROWS[HISTOGRAM_ROUTE]:
            raise ValueError(f"row must be 0..{HISTOGRAM_ROWS[HISTOGRAM_ROUTE] - 1}, not {latency_row}")
        if pool is not None:
            pool.route_service_url = route_service_url
            pool.algorithm = algorithm
            pool.set_hashing(hashing)
            pool.latency_row = <short>latency_row

    cdef EndpointPool _pool_of(self, str uri):
        """The pool of exactly this route, or None."""
        cdef RouteNode node = self.root
        for segment in _key_bytes(uri).split(b"/"):
            if node.children is None:
                return None
            node = node.children.get(segment)
            if node is None:
                return None
        return node.pool

    def lookup(self, str host, str path="/"):
        """The pool that serves `path` on `host` (as in a Host header), or None."""
        cdef bytes raw_host = host.encode("latin-1")
        cdef bytes raw_path = path.encode("latin-1")
        return self.find(
            PyBytes_AS_STRING(raw_host), PyBytes_GET_SIZE(raw_host), PyBytes_AS_STRING(raw_path), PyBytes_GET_SIZE(raw_path)
        )

    cdef EndpointPool find(self, const char* host, Py_ssize_t host_length, const char* path, Py_ssize_t path_length):
        """Lookup by the raw Host value and the raw target path; port, query and a trailing slash do not count.

        The time is linear in the length of both, for each wildcard of the host; a host of HOST_MAX bytes has at most half as
        many.
        """
        cdef const char* cut
        cut = <const char*>memchr(host, c":", host_length)
        if cut != NULL:
            host_length = cut - host
        if host_length > HOST_MAX:
            return None
        cut = <const char*>memchr(path, c"?", path_length)
        if cut != NULL:
            path_length = cut - path
        begin_message()
        # One byte in front: a wildcard is written over the label it replaces, which may be empty.
        put_byte(c"*")
        put_lower(host, host_length)
        put_lower(path, path_length)
        end_message()
        return self._find_key(_message + 1, host_length, path_length)

    cdef EndpointPool _find_key(self, char* key, Py_ssize_t host_length, Py_ssize_t path_length):
        """The same by host and path in lower case, one behind the other. They are written over, as is the byte before them."""
        cdef Py_ssize_t length = host_length + path_length
        cdef Py_ssize_t i, start, dot
        cdef EndpointPool pool
        # Registered routes lose two trailing slashes (spec 3.3: one as a URI, one as a key), and so do requests.
        for i in range(2):
            if length > 0 and key[length - 1] == c"/":
                length -= 1
        # Only a host can be a wildcard.
        host_length = min(host_length, length)
        start = 0
        if length > 0 and key[0] == c"/":
            start = 1
        while True:
            pool = self._match(key + start, length - start)
            if pool is not None:
                return pool
            dot = start
            if host_length - dot >= 2 and key[dot] == c"*" and key[dot + 1] == c".":
                dot += 2
            while dot < host_length and key[dot] != c".":
                dot += 1
            if dot >= host_length:
                return None
            start = dot - 1
            key[start] = c"*"

    cdef EndpointPool _match(self, const char* key, Py_ssize_t length):
        """The deepest pool with endpoints on the way `key` goes; else the empty pool it ends on; else None."""
        cdef RouteNode node = self.root
        cdef EndpointPool best = None
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t stop
        cdef const char* slash
        cdef PyObject* child
        while at <= length and node.children is not None:
            slash = <const char*>memchr(key + at, c"/", length - at)
            stop = length if slash == NULL else slash - key
            child = PyDict_GetItem(node.children, PyBytes_FromStringAndSize(key + at, stop - at))
            if child == NULL:
                break
            node = <RouteNode>child
            if node.pool is not None and PyList_GET_SIZE(node.pool.endpoints) > 0:
                best = node.pool
            at = stop + 1
        return best if best is not None else node.pool


cdef str _without_query(str uri):
    return uri.removesuffix("/").partition("?")[0]


def route_key(str uri not None):
    """The key of a registered URI (spec 3.3): lower case, no query, no outer slashes."""
    return _without_query(uri).lower().removesuffix("/").removeprefix("/")


cdef bytes _key_bytes(str uri):
    """The key as it is compared with bytes of requests."""
    return route_key(uri).encode("utf-8", "replace")
