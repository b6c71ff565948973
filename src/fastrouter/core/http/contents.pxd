# http: messages of HTTP/1 as bytes: heads, their fields, bodies, and the validator.

cdef enum Verdict:
    VERDICT_ERROR = -1          # a Python exception is set
    VERDICT_OK
    VERDICT_INCOMPLETE
    VERDICT_BAD_REQUEST
    VERDICT_BAD_NAME
    VERDICT_BAD_VALUE

cdef enum:
    # Header names the router knows. The order matters three times: CONNECTION..UPGRADE is the hop-by-hop list of spec 4.4,
    # HOST..X_CF_INSTANCEINDEX is what the router renders itself instead of copying it, and X_B3_TRACEID..X_CF_FORWARDED_URL
    # is what handlers set, in the order they do.
    HEADER_HOST
    HEADER_CONNECTION
    HEADER_PROXY_CONNECTION
    HEADER_KEEP_ALIVE
    HEADER_PROXY_AUTHENTICATE
    HEADER_PROXY_AUTHORIZATION
    HEADER_TE
    HEADER_TRAILER
    HEADER_TRANSFER_ENCODING
    HEADER_UPGRADE
    HEADER_CONTENT_LENGTH
    HEADER_X_FORWARDED_FOR
    HEADER_X_FORWARDED_PROTO
    HEADER_X_REQUEST_START
    HEADER_X_VCAP_REQUEST_ID
    HEADER_X_CF_APP_INSTANCE
    HEADER_X_CF_APPLICATIONID
    HEADER_X_CF_INSTANCEID
    HEADER_X_CF_INSTANCEINDEX
    HEADER_X_CF_PROCESS_INSTANCE
    HEADER_EXPECT
    HEADER_USER_AGENT
    HEADER_REFERER
    HEADER_DATE
    HEADER_IDEMPOTENCY_KEY
    HEADER_X_IDEMPOTENCY_KEY
    HEADER_COOKIE
    HEADER_SET_COOKIE
    HEADER_AUTHORIZATION
    HEADER_WWW_AUTHENTICATE
    HEADER_X_CF_ROUTERERROR
    HEADER_X_B3_PARENTSPANID
    HEADER_X_B3_SAMPLED
    HEADER_X_B3_FLAGS
    HEADER_X_VCAP_TRACE
    HEADER_X_VCAP_ROUTER
    HEADER_X_VCAP_BACKEND
    HEADER_X_CF_ROUTEENDPOINT
    HEADER_X_B3_TRACEID
    HEADER_X_B3_SPANID
    HEADER_B3
    HEADER_TRACEPARENT
    HEADER_TRACESTATE
    HEADER_X_FORWARDED_CLIENT_CERT
    HEADER_X_CF_PROXY_SIGNATURE
    HEADER_X_CF_PROXY_METADATA
    HEADER_X_CF_FORWARDED_URL
    HEADER_OTHER
    HEADER_KINDS = HEADER_OTHER
    FIRST_CHANGED = HEADER_X_B3_TRACEID
    LAST_CHANGED = HEADER_X_CF_FORWARDED_URL
    CHANGED_KINDS = LAST_CHANGED + 1 - FIRST_CHANGED
    KNOWN_NAME_MAX = 24         # bytes; longer names are HEADER_OTHER

cdef enum:
    FRAMING_NONE                # no body
    FRAMING_LENGTH              # Content-Length
    FRAMING_CHUNKED             # Transfer-Encoding: chunked
    FRAMING_UNTIL_CLOSE         # the end of the connection ends it; responses only

cdef enum:
    CHUNK_SIZE
    CHUNK_SIZE_BLANK
    CHUNK_EXTENSION
    CHUNK_SIZE_LF
    CHUNK_DATA
    CHUNK_DATA_CR
    CHUNK_DATA_LF
    CHUNK_TRAILER_START
    CHUNK_TRAILER
    CHUNK_LAST_LF
    CHUNK_EXTENSION_MAX = 4096  # bytes of one chunk's extension
    CHUNK_EXCESS_MAX = 16384    # `Framing.excess`, as Go has it
    CHUNKS_AT_ONCE = 512        # walked in one step
    TRAILER_MAX = 65536         # bytes of a whole trailer section
    TRAILER_LINES_MAX = 1000
    STATUS_LINE_MAX = 4096
    INTERIM_MAX = 64            # interim responses that one request may get

cdef struct Slice:
    uint32_t start              # offset from the head's first byte
    uint32_t length

cdef struct Field:
    Slice name
    Slice value                 # blanks around it cut off
    int kind                    # HEADER_*
    uint32_t hash               # of its name, where `Connection` names any
    int next                    # index of the next field in the same bucket, or -1
    flag is_kept                # `Connection` cannot have it dropped
    flag is_dropped             # not passed on: hop-by-hop, or a handler has replaced or removed it
    flag is_plain               # one space behind the colon, CRLF behind the value: the line as the router writes it

cdef struct Framing:
    int kind                    # FRAMING_*
    int state                   # CHUNK_*
    int digits                  # of the chunk size line so far
    int extension               # bytes of this chunk's extension so far
    int trailer_lines
    int64_t excess              # bytes of size lines beyond what chunks of any use need
    int64_t remaining           # bytes left in the body, or in the current chunk
    flag is_done                # the last byte of the body was seen
    flag forgives_blanks        # blanks between the size of a chunk and the end of its line
    flag has_blanks             # and there were some

cdef class MessageValidator:
    cdef object parser_feed           # bound httptools feed_data; None once discarded
    cdef MessageValidator below       # in the store
    cdef readonly flag head_complete
    cdef readonly flag message_complete
    cdef flag upgraded                # llhttp left HTTP behind the head: not to be used again
    cdef str reason                   # why it refused
    cdef bint accepts(self, object data) except -1
    cdef void discard(self) noexcept

cdef class ValidatorStore:
    cdef bint for_requests
    cdef MessageValidator top
    cdef int count
    cdef MessageValidator borrow(self)
    cdef void take_back(self, MessageValidator validator) noexcept

cdef class Head:
    cdef const char* base       # first byte of the scanned head
    cdef Field* fields
    cdef int count
    cdef int capacity
    cdef int first[HEADER_KINDS]    # index of the first field of a kind, or -1
    cdef int seen[HEADER_KINDS]     # how many there are
    cdef unsigned char named[HEADER_KINDS]  # whether `Connection` has named the kind: what the router would add is left out
    cdef Py_ssize_t length      # bytes up to and with the empty line
    cdef Slice start_line       # without its line end
    cdef Slice method
    cdef Slice target
    cdef int status
    cdef int major
    cdef int minor
    cdef bint has_bare_lf
    cdef bint has_bad_line      # a line that is no field
    cdef bint is_crowded        # more fields than allowed; those beyond are not in `fields`
    cdef frozenset kept_names   # lower-case names `Connection` cannot have dropped; None for none
    cdef Verdict scan(self, const char* data, Py_ssize_t size, int max_fields) except VERDICT_ERROR
    cdef int _grow(self) except -1
    cdef Verdict slice_request_line(self) noexcept
    cdef Verdict slice_status_line(self) noexcept
    cdef Verdict _slice_version(self, const char* text, Py_ssize_t length) noexcept
    cdef bint has(self, int kind) noexcept
    cdef Slice value_of(self, int kind) noexcept
    cdef bint passes_on(self, int kind) noexcept
    cdef bytes text_of(self, int kind)
    cdef bytes field_text(self, int index)
    cdef bint value_is(self, int kind, const char* lower) noexcept
    cdef bint has_token(self, int kind, const char* lower) noexcept
    cdef bint asks_for_tunnel(self) noexcept
    cdef bint wants_keep_alive(self) noexcept
    cdef int64_t content_length(self) noexcept
    cdef bint has_empty_length(self) noexcept
    cdef int put_fields(self, const unsigned char* is_own) except -1
    cdef void drop(self, int kind, bint only_empty=*) noexcept
    cdef int drop_hop_by_hop(self) except -1
    cdef int _drop_named_by_connection(self) except -1
    cdef int _drop_other_names(self, int others) except -1
    cdef int _drop_named(self, const char* name, Py_ssize_t length, const int* buckets, int last) noexcept
    cdef bint is_dropped(self, int kind) noexcept
    cdef bytes normalized_head(self, bytes raw, bint is_request)
    cdef bint has_raw_target(self) noexcept
    cdef bint has_broken_escape(self) noexcept
    cdef Verdict diagnose(self) noexcept
