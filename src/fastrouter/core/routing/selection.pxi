# Selection: which endpoint of a pool serves an attempt (spec 5.2). Nothing here changes anything: `EndpointPool.select` does what
# follows from a choice, and `explain` tells of it.

cdef bint sticks(Exchange exchange) noexcept:
    """Whether this attempt looks for the instance of a sticky session first."""
    return exchange.request.sticky is not None and (
        exchange.round_trip.attempt <= 1 or exchange.request.must_stick
        or exchange.plane.settings.keeps_sticky_metadata
    )


cdef list possible_choices(Exchange exchange, bint* forgets_marks):
    """The endpoints of which `EndpointPool.select` takes one for this attempt, several where chance decides; or none."""
    cdef EndpointPool pool = exchange.round_trip.pool
    cdef Settings settings = exchange.plane.settings
    cdef bint is_local = settings.prefers_local and exchange.round_trip.attempt <= 1
    cdef bint is_first
    cdef Endpoint endpoint
    cdef Py_ssize_t start, at
    cdef Py_ssize_t last = -1
    cdef list places = []
    cdef int slot
    if sticks(exchange):
        endpoint = pool.find_sticky(exchange.request.sticky)
        if endpoint is not None and not is_overloaded(endpoint, settings):
            return [endpoint]
        if exchange.request.must_stick:
            return []
    if pool.hashes(exchange):
        endpoint = pool.hashing.choose(pool, exchange, False, &slot)
        return [] if endpoint is None else [endpoint]
    if pool._is_least_connection(settings):
        choose_least_busy(pool, settings, is_local, places)
    else:
        start = exchange.round_trip.cursor if exchange.round_trip.cursor >= 0 else pool.next_turn()
        is_first = start < 0
        start = max(start, 0)
        # Where the first request begins is decided by chance, so any endpoint that is the next from somewhere may be taken.
        while PyList_GET_SIZE(places) < SHOWN_CANDIDATES_MAX:
            at = choose_in_turn(pool, settings, start, is_local, forgets_marks)
            if at <= last:
                # There is none, or the circle is closed.
                break
            places.append(at)
            if not is_first:
                break
            last = at
            start = at + 1
    return [pool.endpoints[at] for at in places]


cdef inline int fitness(EndpointPool pool, Endpoint endpoint, Settings settings, bint is_local) noexcept:
    """FIT, or why `endpoint` is passed over in its turn; `is_local`: it must be of the router's zone."""
    if is_overloaded(endpoint, settings):
        return UNFIT_FULL
    if pool.is_closed(endpoint):
        return UNFIT_DRAINING
    if is_local and endpoint.availability_zone != settings.zone:
        return UNFIT_ELSEWHERE
    return UNFIT_FAILED if is_marked(endpoint, settings) else FIT


cdef Py_ssize_t choose_in_turn(
    EndpointPool pool, Settings settings, Py_ssize_t start, bint is_local, bint* forgets_marks
) noexcept:
    """Where the next endpoint from `start` on is that may serve (spec 5.2.2); -1: all are full or draining.

    If failure marks and the zone alone keep all from it, they do not count: a pool that failed as a whole is tried again at once,
    its marks forgotten.
    """
    cdef Py_ssize_t size = PyList_GET_SIZE(pool.endpoints)
    cdef Py_ssize_t at = start
    cdef Py_ssize_t spare = -1
    cdef Py_ssize_t i
    cdef int how
    forgets_marks[0] = False
    for i in range(size):
        if at >= size:
            at = 0
        how = fitness(pool, <Endpoint>PyList_GET_ITEM(pool.endpoints, at), settings, is_local)
        if how == FIT:
            return at
        if spare < 0 and how != UNFIT_FULL and how != UNFIT_DRAINING:
            spare = at
        at += 1
    forgets_marks[0] = spare >= 0
    return spare


cdef Py_ssize_t choose_least_busy(EndpointPool pool, Settings settings, bint is_local, list equals) except -2:
    """Where an endpoint with the fewest requests in flight is, by chance among equals (spec 5.2.3); -1: all are full or draining.

    Those of the router's zone come first if `is_local`. `equals`, unless it is None, gets the places of all that chance had a
    choice of.
    """
    cdef Endpoint best = None
    cdef Endpoint best_local = None
    cdef Endpoint endpoint
    cdef Py_ssize_t at = -1
    cdef Py_ssize_t local_at = -1
    cdef list equals_local = None if equals is None else []
    cdef uint32_t ties = 0
    cdef uint32_t local_ties = 0
    cdef int least = 0
    cdef int least_local = 0
    cdef Py_ssize_t i
    for i in range(PyList_GET_SIZE(pool.endpoints)):
        endpoint = <Endpoint>PyList_GET_ITEM(pool.endpoints, i)
        if is_overloaded(endpoint, settings) or pool.is_closed(endpoint):
            continue
        if is_better(endpoint, best, &ties):
            best = endpoint
            at = i
        if equals is not None:
            note_equal(equals, i, endpoint.total_in_flight[0], &least)
        if is_local and endpoint.availability_zone == settings.zone:
            if is_better(endpoint, best_local, &local_ties):
                best_local = endpoint
                local_at = i
            if equals is not None:
                note_equal(equals_local, i, endpoint.total_in_flight[0], &least_local)
    if best_local is None:
        return at
    if equals is not None:
        equals[:] = equals_local
    return local_at


cdef int note_equal(list equals, Py_ssize_t at, int in_flight, int* least) except -1:
    """Keep the place of an endpoint in `equals` if none of those before it, who had `least`, has fewer requests in flight."""
    if PyList_GET_SIZE(equals) == 0 or in_flight < least[0]:
        equals.clear()
        least[0] = in_flight
    if in_flight == least[0]:
        equals.append(at)
    return 0


cdef inline bint is_overloaded(Endpoint endpoint, Settings settings) noexcept:
    return settings.max_conns > 0 and endpoint.total_in_flight[0] >= settings.max_conns


cdef inline bint is_marked(Endpoint endpoint, Settings settings) noexcept:
    """Whether it failed so recently that it is passed over."""
    return endpoint.failed_at_ns[0] != 0 and monotonic_ns() - endpoint.failed_at_ns[0] <= settings.failure_memory_ns


cdef inline bint is_better(Endpoint endpoint, Endpoint best, uint32_t* ties) except -1:
    """Whether `endpoint` replaces `best`; each of n equal endpoints is the result with the same probability."""
    if best is None or endpoint.total_in_flight[0] < best.total_in_flight[0]:
        ties[0] = 1
        return True
    if endpoint.total_in_flight[0] > best.total_in_flight[0]:
        return False
    ties[0] += 1
    return (<const uint32_t*>random_bytes(4))[0] % ties[0] == 0
