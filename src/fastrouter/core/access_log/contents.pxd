# access_log: one line per exchange.

cdef enum:
    ACCESS_BATCH = 131072       # bytes of log lines handed over at once
    LOGGED_FIELDS_MAX = 1 << 24  # more fields than a head has room for
    # Bytes for Loggregator, whose records must fit into a datagram (spec 6.3):
    WHOLE_RECORD_MAX = 65400    # of a record that goes on as it is,
    BOUNDED_SHORT = 1000        # of a header, and of
    BOUNDED_LONG = 20000        # a URI, or all extra headers

cdef enum:
    # In the order of EXTRA_FIELDS.
    FIELD_FAILED_ATTEMPTS
    FIELD_FAILED_ATTEMPTS_TIME
    FIELD_DNS_TIME
    FIELD_DIAL_TIME
    FIELD_TLS_TIME
    FIELD_BACKEND_TIME
    FIELD_LOCAL_ADDRESS
    FIELD_CALLER_APP            # from here on, of identity
    FIELD_CALLER_ORGANIZATION
    FIELD_CALLER_SPACE
    FIELD_ROUTE_POLICY
    FIELD_SERVER_NAME

cdef class AccessLog:
    cdef object sink                            # callable(bytes)
    cdef RenderMemory batch
    cdef Py_ssize_t size                        # bytes of whole lines in it
    cdef bint is_json
    cdef bint has_whole                         # a log of its own has the whole of what is bounded here
    cdef bint is_bounded                        # long values are cut as Loggregator needs it
    cdef bint logs_refused                      # requests that came to no handler have lines
    cdef bint hides_forwarded_for
    cdef bint hides_source
    cdef int redaction                          # of queries: index of REDACTIONS
    cdef bytes extra_fields                     # a FIELD_* in each
    cdef list extra_headers                     # of LoggedHeader
    cdef int _put_named(self, Exchange exchange) except -1
    cdef int record(self, Exchange exchange) except -1
    cdef int put_record(self, Exchange exchange) except -1
    cdef int put_bounded_record(self, Exchange exchange) except -1

cdef class LoggedHeader:
    cdef bytes name                             # lower case
    cdef int kind                               # HEADER_*
    cdef bytes label                            # what stands before its value in a text line
    cdef bytes key                              # in a JSON object
    cdef Slice find(self, Head head) noexcept
