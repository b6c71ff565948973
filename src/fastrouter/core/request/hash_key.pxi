# Hash key: what of a request decides which endpoint it goes to, where its route is balanced by hash (spec 9.1).

cdef int read_hash_key(Exchange exchange, Head head) except -1:
    """Note the slot to which the request leads. One that has no key is balanced by the router's own algorithm."""
    cdef EndpointPool pool = exchange.round_trip.pool
    cdef HashRouting hashing = pool.hashing
    cdef const char* text = b"/"
    cdef Py_ssize_t length = 0
    cdef const char* cut
    if hashing.source == HASH_HEADER:
        length = header_key(exchange, head, hashing, &text)
        if length == 0:
            exchange.log(LOG_INFO, "hash-based-routing-header-value-not-found", {"Host": pool.host, "Path": pool.context_path})
    elif hashing.source == HASH_COOKIE:
        length = cookie_key(head, hashing.name, &text)
    elif hashing.source == HASH_PATH:
        length = exchange.request.path.length
        if length == 0:
            # `http://host` is a request for "/".
            length = 1
        else:
            text = PyBytes_AS_STRING(exchange.request.head) + exchange.request.path.start
            cut = <const char*>memchr(text, c"?", length)
            length = length if cut == NULL else cut - text
    elif hashing.source == HASH_CLIENT_ADDRESS:
        text = PyBytes_AS_STRING(exchange.client.identity.ip)
        length = PyBytes_GET_SIZE(exchange.client.identity.ip)
    else:
        exchange.log(LOG_ERROR, "hash-routing-properties-missing", {"host": pool.host})
    if length > 0:
        exchange.round_trip.set_hash_slot(<int>(fnv1a(text, length) % MAGLEV_SLOTS))
    return 0


cdef Py_ssize_t header_key(Exchange exchange, Head head, HashRouting hashing, const char** text) noexcept:
    """The length of the first value of the header that is sent on, 0 without one; `text` is where it begins."""
    cdef ChangedHeaders changed = exchange.request.changed
    cdef ChangedHeader* header
    cdef Field* field
    cdef Py_ssize_t length = PyBytes_GET_SIZE(hashing.name)
    cdef int i
    if hashing.kind == HEADER_HOST:
        # To Go it is none of the headers.
        return 0
    if changed is not None:
        header = changed.of(hashing.kind)
        if header != NULL:
            text[0] = changed.text + header.value.start
            return header.value.length if header.is_sent else 0
    for i in range(head.count):
        field = &head.fields[i]
        if field.kind == hashing.kind and not field.is_dropped and (
            hashing.kind != HEADER_OTHER or (
                field.name.length == length
                and is_same_text(head.base + field.name.start, PyBytes_AS_STRING(hashing.name), length)
            )
        ):
            text[0] = head.base + field.value.start
            return field.value.length
    return 0


cdef Py_ssize_t cookie_key(Head head, bytes wanted, const char** text) noexcept:
    """The same of the first cookie of this name."""
    cdef Field* field
    cdef Slice name, value
    cdef Py_ssize_t at
    cdef int i
    cdef int count = 0
    for i in range(head.count):
        field = &head.fields[i]
        if field.kind != HEADER_COOKIE or field.is_dropped:
            continue
        at = 0
        while count < COOKIES_MAX and next_cookie(head.base + field.value.start, field.value.length, &at, &name, &value):
            count += 1
            if equals_bytes(head.base + field.value.start + name.start, name.length, wanted):
                text[0] = head.base + field.value.start + value.start
                return value.length
    return 0
