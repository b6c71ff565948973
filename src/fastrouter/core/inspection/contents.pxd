# inspection: what an operator asks a worker: which requests are under way, which end, and where one would go (ADR 19).

cdef enum:
    SHOWN_PATH_MAX = 256        # bytes of a host and of a path that are shown
    SHOWN_CANDIDATES_MAX = 256  # endpoints of an explanation

cdef class RequestWalk:
    cdef DataPlane plane
    cdef list clients                           # AcceptedConnections of the moment when it began
    cdef Py_ssize_t at                          # how many of them it has looked at
    cdef int64_t until_ns                       # CLOCK_MONOTONIC; younger requests do not count
    cdef Py_ssize_t limit
    cdef readonly Py_ssize_t count              # requests that are old enough
    cdef list oldest                            # a heap of (-received_ns, count, Exchange), at most `limit`

cdef class Tail:
    cdef bytes route                            # key of the only route that counts; None: all do
    cdef int status_class                       # 1..5: the first digit of a status; 0: any
    cdef int64_t slower_than_ns
    cdef uint32_t sample                        # of 2^32 - 1, how many are taken
    cdef Py_ssize_t room                        # records that may still come before `take`
    cdef list records
    cdef int64_t lost                           # for want of room, since `take`
    cdef bint wants(self, Exchange exchange) except -1
    cdef int record(self, Exchange exchange) except -1

cdef class ExplainingSide(ClientSide):
    cdef list written
