# IdleLimit: how long the connections to one endpoint may have been idle before its backend may close them at any moment (ADR 24).
#
# A request that is sent at that moment is lost with its connection. Most can be sent again over another one; one that a backend
# may have acted on cannot, so such a request keeps clear of that moment.

# How far from the limit: a tenth of it, within these bounds, and never more than half of it.
cdef int64_t MARGIN_LEAST_NS = 50000000
cdef int64_t MARGIN_MOST_NS = 1000000000
# A connection that ends later behind a request than this was not being closed when the request came: the backend had it.
cdef int64_t RACE_NS = 1000000000
# For how long idle connections are avoided once a request was lost with one, at first and at most; it doubles each time.
cdef int64_t AVOIDED_LEAST_NS = 30000000000
cdef int64_t AVOIDED_MOST_NS = 900000000000
# None is known: no connection has been idle for so long.
cdef int64_t NO_LIMIT = <int64_t>1 << 62
# A limit that a response names beyond this many seconds is none.
cdef int64_t SAID_MOST = 86400


@cython.final
@cython.no_gc
cdef class IdleLimit:
    """What is known of one backend. All times are in ns, those called `now_ns` by CLOCK_MONOTONIC."""

    def __cinit__(self):
        self.limit_ns = self.clear_ns = self.said_ns = NO_LIMIT

    cpdef bint is_clear(self, int64_t idle_ns, int64_t now_ns) noexcept:
        """Whether a connection that has been idle for so long will not be closed by its backend just now."""
        return idle_ns < self.clear_ns and now_ns >= self.avoided_until_ns

    cpdef void on_end(self, int64_t idle_ns) noexcept:
        """The backend has closed a connection that had been idle for so long."""
        if idle_ns < self.limit_ns:
            self._set(idle_ns)

    cpdef void on_said(self, int64_t seconds) noexcept:
        """A response names the limit (`Keep-Alive: timeout=…`); -1: it names none."""
        cdef int64_t said_ns = seconds * 1000000000 if seconds >= 0 else NO_LIMIT
        if said_ns != self.said_ns:
            self.said_ns = said_ns
            self._set(said_ns)

    cpdef bint on_lost(self, int64_t idle_ns, int64_t took_ns, int64_t now_ns) noexcept:
        """A request went to a connection that had been idle for so long, and `took_ns` later that ended without a response.

        Returns whether the backend was closing it when the request came, as far as one can tell.
        """
        # Soon after the last time: it seems to have no limit that can be learnt.
        cdef bint is_again = now_ns < self.avoided_until_ns + self.avoided_ns
        if took_ns > RACE_NS:
            return False
        self.on_end(idle_ns)
        if now_ns >= self.avoided_until_ns:
            self.avoided_ns = min(2 * self.avoided_ns, AVOIDED_MOST_NS) if is_again else AVOIDED_LEAST_NS
        self.avoided_until_ns = now_ns + self.avoided_ns
        return True

    cpdef bint is_refuted(self, int64_t idle_ns) noexcept:
        """Whether a connection that is open after so long shows that what was taken for a limit is none, but chance.

        Not by a little: some backends look for what is over only now and then.
        """
        return self.limit_ns < self.said_ns and idle_ns // 2 > self.limit_ns

    cpdef void forget(self) noexcept:
        """What was taken for a limit is none."""
        self._set(self.said_ns)

    cdef void _set(self, int64_t limit_ns) noexcept:
        self.limit_ns = self.clear_ns = limit_ns
        if limit_ns != NO_LIMIT:
            self.clear_ns -= min(limit_ns // 2, max(MARGIN_LEAST_NS, min(limit_ns // 10, MARGIN_MOST_NS)))


cdef int64_t said_limit(Head head) noexcept:
    """The seconds that `Keep-Alive: timeout=…` names, -1 if it names none."""
    cdef Slice value = head.value_of(HEADER_KEEP_ALIVE)
    cdef const char* text = head.base + value.start
    cdef Py_ssize_t at = 0
    cdef Slice token
    cdef int64_t seconds = 0
    cdef uint32_t i
    while next_token(text, value.length, &at, &token):
        if token.length > 8 and is_same_text(text + token.start, b"timeout=", 8):
            for i in range(token.start + 8, token.start + token.length):
                if not is_digit(text[i]) or seconds > SAID_MOST:
                    return -1
                seconds = 10 * seconds + text[i] - 48
            return seconds
    return -1
