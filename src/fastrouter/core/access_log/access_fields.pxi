# Fields of a log line: one value each, as Gorouter writes it or as JSON; and the fields and headers that are configured.

cdef inline void put_name(bint is_json, const char* key, const char* label) noexcept:
    """The text in front of a value. Two calls, so that the compiler knows both lengths."""
    if is_json:
        put_text(key)
    else:
        put_text(label)


cdef inline void put_nothing(bint is_json) noexcept:
    """The text for a missing value."""
    put_name(is_json, b"null", b"\"-\"")


cdef inline int put_field(bint is_json, const char* base, Slice text) except -1:
    """A quoted text; an empty one counts as missing."""
    if text.length == 0:
        put_nothing(is_json)
        return 0
    if is_json:
        return put_json_text(base + text.start, text.length)
    return put_quoted(base, text)


cdef int put_field_bytes(bint is_json, bytes text) except -1:
    """A quoted text; None and an empty one count as missing."""
    cdef Slice whole
    if text is None:
        put_nothing(is_json)
        return 0
    whole.start = 0
    whole.length = <uint32_t>PyBytes_GET_SIZE(text)
    return put_field(is_json, PyBytes_AS_STRING(text), whole)


cdef int put_endpoint_field(bint is_json, Endpoint endpoint, int which) except -1:
    """App id (0), index (1) or instance id (2) of an endpoint, if there is one."""
    cdef Slice text
    if endpoint is None:
        put_nothing(is_json)
        return 0
    text = endpoint.app if which == 0 else endpoint.index if which == 1 else endpoint.instance
    return put_field(is_json, PyBytes_AS_STRING(endpoint.headers), text)


cdef void put_duration(bint is_json, int64_t nanoseconds) noexcept:
    """Seconds with six decimals; a negative number means a missing value."""
    if nanoseconds < 0:
        put_nothing(is_json)
    else:
        put_seconds(nanoseconds)


# --- fields of attempts ---------------------------------------------------------------------------------------------------

cdef int put_extra_field(bint is_json, int field, Exchange exchange) except -1:
    """One of EXTRA_FIELDS with its name."""
    cdef RoundTrip trip = exchange.round_trip
    cdef const char* address
    cdef Py_ssize_t size
    cdef Slice whole
    put_bytes(<bytes>PyTuple_GET_ITEM(_extra_keys if is_json else _extra_labels, field))
    if field == FIELD_FAILED_ATTEMPTS:
        put_decimal(trip.failed_attempts)
    elif field >= FIELD_CALLER_APP:
        put_field_bytes(is_json, identity_field(field, exchange))
    elif field != FIELD_LOCAL_ADDRESS:
        put_duration(is_json, attempt_time(field, exchange))
    elif not trip.has_response or trip.local_address is None:
        put_nothing(is_json)
    else:
        address = PyUnicode_AsUTF8AndSize(trip.local_address, &size)
        whole.start = 0
        whole.length = <uint32_t>size
        put_field(is_json, address, whole)
    return 0


cdef int64_t attempt_time(int field, Exchange exchange) noexcept:
    """Nanoseconds, -1 where there is no such time (spec 6.2).

    Of an attempt that needed no dial or no handshake the times are 0, which is Gorouter's quirk.
    """
    cdef RoundTrip trip = exchange.round_trip
    if field == FIELD_FAILED_ATTEMPTS_TIME:
        return trip.last_failed_ns - trip.started_ns if trip.failed_attempts else -1
    if not trip.has_response:
        return -1
    if field == FIELD_BACKEND_TIME:
        return exchange.finished_ns - (trip.last_failed_ns if trip.failed_attempts else trip.started_ns)
    if field == FIELD_DIAL_TIME:
        return trip.dialled_ns - trip.dial_started_ns if trip.dialled_ns else 0
    if field == FIELD_TLS_TIME:
        return trip.secured_ns - trip.dialled_ns if trip.secured_ns else 0
    # The lookup of a name is part of the dial.
    return 0


cdef bytes identity_field(int field, Exchange exchange):
    """Who has asked, and what has admitted or refused it (spec 9.8); None where there is nothing to say."""
    cdef Caller caller = exchange.request.caller
    if field == FIELD_SERVER_NAME:
        return exchange.client.identity.server_name
    if field == FIELD_ROUTE_POLICY:
        return None if exchange.round_trip.policy is None else exchange.round_trip.policy.encode("utf-8", "replace")
    if caller is None:
        return None
    if field == FIELD_CALLER_APP:
        return caller.app
    return caller.organization if field == FIELD_CALLER_ORGANIZATION else caller.space


# --- headers of the request -------------------------------------------------------------------------------------------------

cdef class LoggedHeader:
    """A header of `extra_headers_to_log`, by any spelling of its name."""

    def __cinit__(self, str lower):
        cdef str text = lower.replace("-", "_")
        self.name = lower.encode("utf-8")
        self.kind = known_kind(PyBytes_AS_STRING(self.name), PyBytes_GET_SIZE(self.name))
        # A name that no header can have still has a field in the line.
        self.label = b" " + go_escaped(text.encode("utf-8")) + b":"
        self.key = encode_basestring(text).encode("utf-8") + b":"

    cdef Slice find(self, Head head) noexcept:
        """Its first value in a request as received; length 0 when there is none."""
        cdef Slice none
        cdef Field* field
        cdef int i
        if self.kind != HEADER_OTHER:
            return head.value_of(self.kind)
        for i in range(head.count):
            field = &head.fields[i]
            if field.name.length == <uint32_t>PyBytes_GET_SIZE(self.name) and is_same_text(
                head.base + field.name.start, PyBytes_AS_STRING(self.name), field.name.length
            ):
                return field.value
        none.start = none.length = 0
        return none


cdef list logged_headers_of(AccessLog log, AccessLog other):
    """The extra headers of logs, either of which may be None. Raises ValueError if they log different ones."""
    cdef LoggedHeader header
    if log is not None and other is not None:
        if [header.name for header in log.extra_headers] != [header.name for header in other.extra_headers]:
            raise ValueError("all logs of a data plane must have the same extra headers")
    return [] if log is None and other is None else other.extra_headers if log is None else log.extra_headers


# For the heads of requests that have more fields than the handlers read: the log line has all of them.
cdef Head crowded_head = Head()

cdef bytes logged_values(list headers, Head head):
    """The slices of a head that the log line needs: one for each of `headers`."""
    cdef Py_ssize_t count = PyList_GET_SIZE(headers)
    cdef bytes values = PyBytes_FromStringAndSize(NULL, count * sizeof(Slice))
    cdef Py_ssize_t i
    if head.is_crowded:
        crowded_head.scan(head.base, head.length, LOGGED_FIELDS_MAX)
        head = crowded_head
    for i in range(count):
        (<Slice*>PyBytes_AS_STRING(values))[i] = (<LoggedHeader>PyList_GET_ITEM(headers, i)).find(head)
    return values


cdef int put_extra_headers(AccessLog log, Exchange exchange) except -1:
    """The configured request headers as the handlers left them; in JSON an object of its own, whose keys cannot collide."""
    cdef const Slice* values = <const Slice*>PyBytes_AS_STRING(exchange.request.logged_values)
    cdef LoggedHeader header
    cdef Py_ssize_t first = message_size()
    cdef Py_ssize_t i, begun
    if log.is_json:
        put_text(b',"headers":{')
    for i in range(PyList_GET_SIZE(log.extra_headers)):
        header = <LoggedHeader>PyList_GET_ITEM(log.extra_headers, i)
        if log.is_json and i:
            put_byte(c",")
        begun = message_size()
        put_bytes(header.key if log.is_json else header.label)
        put_logged_header(log.is_json, header.kind, values[i], exchange)
        if log.is_bounded and message_size() - first >= BOUNDED_LONG:
            cut_message(begun)
            put_text(b" ...EXTRA-REQUEST-HEADERS-TOO-LONG-TO-LOG--TRUNCATED")
            break
    if log.is_json:
        put_byte(c"}")
    return 0


cdef int put_logged_header(bint is_json, int kind, Slice received, Exchange exchange) except -1:
    cdef ChangedHeader* changed
    if kind == HEADER_X_VCAP_REQUEST_ID:
        put_request_id(is_json, exchange)
        return 0
    if kind == HEADER_X_FORWARDED_PROTO and exchange.request.is_proto_set:
        put_set_proto(exchange)
        return 0
    if kind == HEADER_HOST or kind == HEADER_TRANSFER_ENCODING or kind == HEADER_TRAILER:
        # Go removes these from the headers.
        put_nothing(is_json)
        return 0
    if exchange.request.changed is not None:
        changed = exchange.request.changed.of(kind)
        if changed != NULL:
            return put_field(is_json, exchange.request.changed.text, changed.value)
    return put_field(is_json, PyBytes_AS_STRING(exchange.request.head), received)


cdef inline void put_set_proto(Exchange exchange) noexcept:
    """The X-Forwarded-Proto that the router has set."""
    put_text(b"\"https\"" if exchange.request.is_proto_https else b"\"http\"")
