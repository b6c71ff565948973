# Head: the slices of one message head, found in one pass.
#
# A process has one Head for requests and one for responses, each valid until the next scan. The Exchange copies what it needs
# longer: the bytes of the head, and (start, length) pairs of log fields.

# --- where a head ends ---------------------------------------------------------------------------------------------------

cdef Py_ssize_t find_head_end(const char* data, Py_ssize_t size, Py_ssize_t start) noexcept nogil:
    """Offset behind the empty line that ends a head, or -1. Bytes before `start` were searched already."""
    cdef const char* newline
    cdef Py_ssize_t at = max(start - 2, 0)
    while True:
        newline = <const char*>memchr(data + at, c"\n", size - at)
        if newline == NULL:
            return -1
        at = newline - data + 1
        if at < size and data[at] == c"\n":
            return at + 1
        if at + 1 < size and data[at] == c"\r" and data[at + 1] == c"\n":
            return at + 2


cdef bint can_begin_response(const char* data, Py_ssize_t size) noexcept nogil:
    """Whether `data`, the beginning of a head that is not complete, can become a response to HTTP/1, repaired or not."""
    cdef const char* version = b"HTTP/0.0 "
    cdef Py_ssize_t at
    cdef int digits
    for at in range(min(9, size)):
        if not (is_digit(data[at]) if is_digit(version[at]) else data[at] == version[at]):
            return False
    at = 9
    while at < size and data[at] == c" ":
        at += 1
    for digits in range(3):
        if at >= size:
            return True
        if not is_digit(data[at]) or (digits == 0 and data[at] == c"0"):
            return False
        at += 1
    return at == size or data[at] == c" " or data[at] == c"\r" or data[at] == c"\n"


cdef inline bint is_digit(char digit) noexcept nogil:
    return c"0" <= digit <= c"9"


cdef inline bint is_hex(char digit) noexcept nogil:
    return is_digit(digit) or c"a" <= (digit | 32) <= c"f"


cdef bint has_bad_escape(const char* text, Py_ssize_t length) noexcept nogil:
    """Whether a percent sign has no two hex digits behind it."""
    cdef const char* end = text + length
    cdef const char* at = <const char*>memchr(text, c"%", length)
    while at != NULL:
        if end - at < 3 or not (is_hex(at[1]) and is_hex(at[2])):
            return True
        at = <const char*>memchr(at + 3, c"%", end - at - 3)
    return False


cdef enum:
    NAME_BUCKETS = 1024         # a power of two

# A random seed: a client cannot find names that share a bucket.
cdef uint32_t _name_seed = int.from_bytes(os_urandom(4), "little")


@cython.overflowcheck(False)
cdef inline uint32_t hash_of_name(const char* name, Py_ssize_t length) noexcept nogil:
    """Hash of a header name in any spelling (FNV-1a)."""
    cdef uint32_t hash = _name_seed
    cdef Py_ssize_t i
    for i in range(length):
        hash = (hash ^ _lower[<unsigned char>name[i]]) * <uint32_t>16777619
    return hash ^ (hash >> 15)


# --- the scan ------------------------------------------------------------------------------------------------------------

cdef class Head:
    """One message head as slices. `base` points at its first byte; all offsets count from there."""

    def __cinit__(self):
        self.capacity = 64
        self.fields = <Field*>malloc(self.capacity * sizeof(Field))
        if self.fields == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.fields)

    cdef Verdict scan(self, const char* data, Py_ssize_t size, int max_fields) except VERDICT_ERROR:
        """Slice a head that begins at `data`. VERDICT_INCOMPLETE when its end is not there yet.

        The start line is only cut out; `slice_request_line` and `slice_status_line` read it.
        """
        cdef const char* at = data
        cdef const char* end = data + size
        cdef const char* newline
        cdef const char* stop
        cdef const char* colon
        cdef const char* value
        cdef const char* line_end
        cdef Field* field
        cdef int i
        cdef int kind
        self.base = data
        self.count = 0
        self.has_bare_lf = False
        self.has_bad_line = False
        self.is_crowded = False
        self.kept_names = None
        for i in range(HEADER_KINDS):
            self.first[i] = -1
            self.seen[i] = 0
            self.named[i] = False

        newline = <const char*>memchr(at, c"\n", end - at)
        if newline == NULL:
            return VERDICT_INCOMPLETE
        stop = newline
        if stop > at and (stop - 1)[0] == c"\r":
            stop -= 1
        else:
            self.has_bare_lf = True
        self.start_line.start = 0
        self.start_line.length = <uint32_t>(stop - at)
        at = newline + 1
        while True:
            newline = <const char*>memchr(at, c"\n", end - at)
            if newline == NULL:
                return VERDICT_INCOMPLETE
            stop = newline
            if stop > at and (stop - 1)[0] == c"\r":
                stop -= 1
            else:
                self.has_bare_lf = True
            if stop == at:
                self.length = newline + 1 - data
                return VERDICT_OK
            colon = <const char*>memchr(at, c":", stop - at)
            if colon == NULL or colon == at:
                # The validator will refuse this line. Slicing ends here, but the end of the head is still needed.
                self.has_bad_line = True
                at = newline + 1
                continue
            kind = known_kind(at, colon - at)
            if self.count >= max_fields and kind != HEADER_HOST:
                # Host is kept even beyond the limit of fields; otherwise the request would be refused for a missing Host.
                self.is_crowded = True
                at = newline + 1
                continue
            if self.count == self.capacity:
                self._grow()
            value = colon + 1
            while value < stop and is_blank(value[0]):
                value += 1
            field = &self.fields[self.count]
            field.name.start = <uint32_t>(at - data)
            field.name.length = <uint32_t>(colon - at)
            field.value.start = <uint32_t>(value - data)
            line_end = stop
            while stop > value and is_blank((stop - 1)[0]):
                stop -= 1
            field.value.length = <uint32_t>(stop - value)
            field.kind = kind
            field.is_dropped = False
            field.is_plain = (value == colon + 2) & (colon[1] == c" ") & (stop == line_end) & (line_end + 1 == newline)
            if kind != HEADER_OTHER:
                if self.first[kind] < 0:
                    self.first[kind] = self.count
                self.seen[kind] += 1
            self.count += 1
            at = newline + 1

    cdef int _grow(self) except -1:
        cdef Field* fields = <Field*>realloc(self.fields, 2 * self.capacity * sizeof(Field))
        if fields == NULL:
            raise MemoryError()
        self.fields = fields
        self.capacity *= 2
        return 0

    # --- start lines

    cdef Verdict slice_request_line(self) noexcept:
        """Cut method, target and version out of the start line as Go does: exactly two spaces, `HTTP/d.d`."""
        cdef const char* line = self.base
        cdef Py_ssize_t length = self.start_line.length
        cdef const char* space = <const char*>memchr(line, c" ", length)
        cdef const char* last
        if space == NULL or space == line:
            return VERDICT_BAD_REQUEST
        self.method.start = 0
        self.method.length = <uint32_t>(space - line)
        last = <const char*>memchr(space + 1, c" ", line + length - space - 1)
        if last == NULL or last == space + 1:
            return VERDICT_BAD_REQUEST
        self.target.start = <uint32_t>(space + 1 - line)
        self.target.length = <uint32_t>(last - space - 1)
        if not has_only(_is_token, line, self.method.length):
            return VERDICT_BAD_REQUEST
        return self._slice_version(last + 1, line + length - last - 1)

    cdef Verdict slice_status_line(self) noexcept:
        cdef const char* line = self.base
        cdef const char* code = line + 9
        if self.start_line.length < 12 or line[8] != c" ":
            return VERDICT_BAD_REQUEST
        if self._slice_version(line, 8) != VERDICT_OK:
            return VERDICT_BAD_REQUEST
        if not (c"1" <= code[0] <= c"9" and is_digit(code[1]) and is_digit(code[2])):
            return VERDICT_BAD_REQUEST
        if self.start_line.length > 12 and code[3] != c" ":
            return VERDICT_BAD_REQUEST
        self.status = (code[0] - 48) * 100 + (code[1] - 48) * 10 + code[2] - 48
        return VERDICT_OK

    cdef Verdict _slice_version(self, const char* text, Py_ssize_t length) noexcept:
        if length != 8 or memcmp(text, b"HTTP/", 5) != 0 or text[6] != c".":
            return VERDICT_BAD_REQUEST
        if not (is_digit(text[5]) and is_digit(text[7])):
            return VERDICT_BAD_REQUEST
        self.major = text[5] - 48
        self.minor = text[7] - 48
        return VERDICT_OK

    # --- questions about fields

    cdef inline bint has(self, int kind) noexcept:
        return self.first[kind] >= 0

    cdef inline Slice value_of(self, int kind) noexcept:
        """The first value of a known header; length 0 when there is none."""
        cdef Slice none
        if self.first[kind] < 0:
            none.start = none.length = 0
            return none
        return self.fields[self.first[kind]].value

    cdef bint passes_on(self, int kind) noexcept:
        """Whether the first field of a kind has a value and is not dropped."""
        cdef int i = self.first[kind]
        return i >= 0 and self.fields[i].value.length > 0 and not self.fields[i].is_dropped

    cdef bytes text_of(self, int kind):
        """The first value of a known header, b"" when there is none."""
        cdef Slice value = self.value_of(kind)
        return self.base[value.start : value.start + value.length]

    cdef bytes field_text(self, int index):
        """The value of the field at `index`."""
        cdef Slice value = self.fields[index].value
        return self.base[value.start : value.start + value.length]

    cdef inline bint value_is(self, int kind, const char* lower) noexcept:
        """Whether the first value of a known header is `lower` in any spelling."""
        cdef Slice value = self.value_of(kind)
        return value.length == strlen(lower) and is_same_text(self.base + value.start, lower, value.length)

    cdef bint has_token(self, int kind, const char* lower) noexcept:
        """Whether any comma-separated element of any line of a known header is `lower` in any spelling."""
        cdef Py_ssize_t length = strlen(lower)
        cdef Field* field
        cdef Py_ssize_t at, size
        cdef Slice token
        cdef int i
        if self.first[kind] < 0:
            return False
        for i in range(self.first[kind], self.count):
            field = &self.fields[i]
            if field.kind != kind:
                continue
            at = 0
            while next_token(self.base + field.value.start, field.value.length, &at, &token):
                if token.length == length and is_same_text(self.base + field.value.start + token.start, lower, length):
                    return True
        return False

    cdef bint asks_for_tunnel(self) noexcept:
        """Whether Upgrade names protocols that pass through: not h2c or TLS, which are about the connection to the router."""
        cdef Slice value = self.value_of(HEADER_UPGRADE)
        cdef const char* text = self.base + value.start
        cdef Py_ssize_t at = 0
        cdef Slice token
        while next_token(text, value.length, &at, &token):
            if token.length >= 3 and (
                is_same_text(text + token.start, b"tls", 3)
                or (token.length == 3 and is_same_text(text + token.start, b"h2c", 3))
            ):
                return False
        return value.length > 0

    # --- framing and persistence

    cdef bint wants_keep_alive(self) noexcept:
        """Whether the sender lets the connection live on (RFC 9112 section 9.3)."""
        if not self.has(HEADER_CONNECTION):
            return self.minor == 1
        if self.minor == 1:
            return not self.has_token(HEADER_CONNECTION, b"close")
        return self.has_token(HEADER_CONNECTION, b"keep-alive") and not self.has_token(HEADER_CONNECTION, b"close")

    cdef int64_t content_length(self) noexcept:
        """The value of Content-Length, -1 without one, -2 when it is no number below 2^62."""
        cdef Slice value = self.value_of(HEADER_CONTENT_LENGTH)
        cdef int64_t number = 0
        cdef uint32_t i
        cdef char digit
        if not self.has(HEADER_CONTENT_LENGTH):
            return -1
        if value.length == 0 or value.length > 18 or self.seen[HEADER_CONTENT_LENGTH] > 1:
            return -2
        for i in range(value.length):
            digit = self.base[value.start + i]
            if not is_digit(digit):
                return -2
            number = number * 10 + (digit - 48)
        return number

    cdef bint has_empty_length(self) noexcept:
        """Whether there is exactly one Content-Length, and its value is empty."""
        return self.seen[HEADER_CONTENT_LENGTH] == 1 and self.value_of(HEADER_CONTENT_LENGTH).length == 0

    # --- hop-by-hop

    cdef int drop_hop_by_hop(self) except -1:
        """Mark what must not be passed on: the standard list, and whatever `Connection` names (spec 4.4, 4.5)."""
        cdef int i
        cdef Field* field
        for i in range(self.count):
            field = &self.fields[i]
            if HEADER_CONNECTION <= field.kind <= HEADER_UPGRADE:
                field.is_dropped = True
        if self.has(HEADER_CONNECTION):
            self._drop_named_by_connection()
        return 0

    cdef int _drop_named_by_connection(self) except -1:
        """Mark known names by their kind; look up others, by their hash if a hostile list has thousands of them."""
        cdef Field* field
        cdef Slice token
        cdef Py_ssize_t at
        cdef const char* name
        cdef int i, kind
        cdef int others = 0
        for i in range(self.first[HEADER_CONNECTION], self.count):
            field = &self.fields[i]
            if field.kind != HEADER_CONNECTION:
                continue
            at = 0
            while next_token(self.base + field.value.start, field.value.length, &at, &token):
                name = self.base + field.value.start + token.start
                kind = known_kind(name, token.length)
                if kind == HEADER_OTHER:
                    others += not is_token(name, token.length, b"close")
                elif kind != HEADER_KEEP_ALIVE and not self.named[kind]:
                    if self.kept_names is None or name[:token.length].lower() not in self.kept_names:
                        self.named[kind] = True
                        self.drop(kind)
        if others:
            self._drop_other_names(others)
        return 0

    cdef int _drop_other_names(self, int others) except -1:
        cdef int buckets[NAME_BUCKETS]
        cdef int last = NAME_BUCKETS - 1 if others > 4 else 0
        cdef Field* field
        cdef Slice token
        cdef Py_ssize_t at
        cdef const char* name
        cdef int* bucket
        cdef int i
        for i in range(last + 1):
            buckets[i] = -1
        for i in range(self.count):
            field = &self.fields[i]
            name = self.base + field.name.start
            field.hash = hash_of_name(name, field.name.length)
            bucket = &buckets[field.hash & last]
            field.next = bucket[0]
            bucket[0] = i
            field.is_kept = self.kept_names is not None and name[:field.name.length].lower() in self.kept_names
        for i in range(self.first[HEADER_CONNECTION], self.count):
            field = &self.fields[i]
            if field.kind != HEADER_CONNECTION:
                continue
            at = 0
            while next_token(self.base + field.value.start, field.value.length, &at, &token):
                name = self.base + field.value.start + token.start
                if known_kind(name, token.length) == HEADER_OTHER and not is_token(name, token.length, b"close"):
                    self._drop_named(name, token.length, buckets, last)
        return 0

    cdef int _drop_named(self, const char* name, Py_ssize_t length, const int* buckets, int last) noexcept:
        cdef uint32_t hash = hash_of_name(name, length)
        cdef int i = buckets[hash & last]
        cdef Field* field
        while i >= 0:
            field = &self.fields[i]
            if field.hash == hash and not field.is_kept and field.name.length == length and equals_nocase(
                self.base + field.name.start, name, length
            ):
                field.is_dropped = True
            i = field.next
        return 0

    cdef bint is_dropped(self, int kind) noexcept:
        """Whether `Connection` names this known header, which may be absent; call `drop_hop_by_hop` first."""
        return self.named[kind]

    cdef void drop(self, int kind, bint only_empty=False) noexcept:
        """Mark every field of a known header, or those without a value, as not to be passed on."""
        cdef int i
        if self.first[kind] >= 0:
            for i in range(self.first[kind], self.count):
                if self.fields[i].kind == kind and not (only_empty and self.fields[i].value.length):
                    self.fields[i].is_dropped = True

    cdef int put_fields(self, const unsigned char* is_own) except -1:
        """Append the lines of what is neither dropped nor of the router's own kinds, names in canonical form."""
        cdef const char* line
        cdef char* at
        cdef Field* field
        cdef Py_ssize_t size
        cdef int i
        for i in range(self.count):
            field = &self.fields[i]
            if field.is_dropped or is_own[field.kind]:
                continue
            line = self.base + field.name.start
            size = field.name.length
            # A name is written in blocks of 16 bytes; four are between it and the value, and behind that.
            at = room_for(size + 15 + 4 + field.value.length)
            if field.name.start + size + 15 <= self.length:
                at = write_canonical_blocks(at, line, size)
            else:
                at = write_canonical(at, line, size)
            if field.is_plain:
                memcpy(at, line + size, field.value.length + 4)
            else:
                memcpy(at, <const char*>b": ", 2)
                memcpy(at + 2, self.base + field.value.start, field.value.length)
                memcpy(at + 2 + field.value.length, <const char*>b"\r\n", 2)
            fill_to(at + field.value.length + 4)
        return 0

    # --- what the validator sees

    cdef bytes normalized_head(self, bytes raw, bint is_request):
        """The head in a form that strict llhttp accepts where Go's parser accepts more (docs/adr/0002).

        That is: bare line feeds, methods and versions it has not heard of, raw bytes in targets, tabs behind a transfer coding,
        and the names of an Upgrade header (llhttp would take the body of such a request for another protocol) and of an empty
        Content-Length. Framing is untouched.
        """
        cdef bytearray shown = bytearray(raw)
        cdef Py_ssize_t end
        cdef int i
        for i in range(self.count):
            if self.fields[i].kind == HEADER_TRANSFER_ENCODING:
                end = self.fields[i].value.start + self.fields[i].value.length
                while shown[end] == c"\t" or shown[end] == c" ":
                    shown[end] = c" "
                    end += 1
            elif is_request and (self.fields[i].kind == HEADER_UPGRADE or (
                self.fields[i].kind == HEADER_CONTENT_LENGTH and self.fields[i].value.length == 0
            )):
                shown[self.fields[i].name.start] = c"x"
        if is_request:
            for i in range(<int>self.target.start, <int>(self.target.start + self.target.length)):
                if shown[i] >= 128:
                    shown[i] = c"x"
            if self.minor > 1:
                shown[self.start_line.length - 1] = c"1"
            if raw[: self.method.length] not in KNOWN_METHODS:
                shown[: self.method.length] = b"GET"
        return bytes(shown.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if self.has_bare_lf else shown)

    cdef bint has_raw_target(self) noexcept:
        """Whether the target has bytes above 127, which Go forwards and llhttp refuses."""
        cdef uint32_t i
        for i in range(self.target.length):
            if <unsigned char>self.base[self.target.start + i] >= 128:
                return True
        return False

    cdef bint has_broken_escape(self) noexcept:
        """Whether there is a broken escape in front of the query, which Go refuses to parse."""
        cdef const char* target = self.base + self.target.start
        cdef const char* query = <const char*>memchr(target, c"?", self.target.length)
        return has_bad_escape(target, self.target.length if query == NULL else query - target)

    cdef Verdict diagnose(self) noexcept:
        """Which of Go's complaints fits a head the validator refused (spec 4.0)."""
        cdef Field* field
        cdef int i
        if self.has_bad_line:
            return VERDICT_BAD_REQUEST
        for i in range(self.count):
            field = &self.fields[i]
            if not has_only(_is_token, self.base + field.name.start, field.name.length):
                return VERDICT_BAD_NAME
            if not has_only(_is_value, self.base + field.value.start, field.value.length):
                return VERDICT_BAD_VALUE
        return VERDICT_BAD_REQUEST


# llhttp's methods of HTTP/1 (its RTSP and SOURCE families left out: shown to it as GET).
cdef frozenset KNOWN_METHODS = frozenset(
    b"DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK UNLINK "
    b"QUERY".split()
)

cdef Head request_head = Head()
cdef Head response_head = Head()
