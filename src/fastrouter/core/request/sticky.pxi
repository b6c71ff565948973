# Sticky sessions: which instance a client wants back to, and the cookie that tells it which one served (spec 5.3).

cdef bytes STICKY_COOKIE = b"__VCAP_ID__"
cdef bytes METADATA_COOKIE = b"__VCAP_ID_META__"

cdef enum:
    # No more is read than a valid one can have.
    COOKIES_MAX = 1000          # cookies of a request: browsers keep less than 200 for one domain
    IDENTITY_MAX = 1026         # bytes of a `__VCAP_ID__`: the longest instance id, in quotes
    METADATA_MAX = 256          # bytes of a `__VCAP_ID_META__`: all it can say, four times
    SET_COOKIE_MAX = 8192       # bytes of a Set-Cookie line: browsers take half of that
    ATTRIBUTES_MAX = 16         # attributes of one: there are nine
    SESSION_COOKIES_MAX = 16    # of one response
    DATE_MAX = 64               # bytes of a date


cdef int read_sticky(Exchange exchange, Head head) except -1:
    """Note the instance the request wants: a session cookie or Negotiate makes `__VCAP_ID__` count; alone it does not."""
    cdef Settings settings = exchange.plane.settings
    cdef bytes wanted = None
    cdef bint has_session = False
    cdef Slice name, value
    cdef const char* text
    cdef Py_ssize_t at
    cdef int i
    cdef int count = 0
    if not head.has(HEADER_COOKIE):
        return 0
    for i in range(head.first[HEADER_COOKIE], head.count):
        if head.fields[i].kind != HEADER_COOKIE:
            continue
        text = head.base + head.fields[i].value.start
        at = 0
        while count < COOKIES_MAX and next_cookie(text, head.fields[i].value.length, &at, &name, &value):
            count += 1
            if equals_bytes(text + name.start, name.length, STICKY_COOKIE):
                if wanted is None:
                    # No instance has a longer id, so the part that is kept matches none either.
                    wanted = unquoted(text[value.start : value.start + min(value.length, IDENTITY_MAX + 1)])
            elif (
                settings.keeps_sticky_metadata and value.length <= METADATA_MAX
                and equals_bytes(text + name.start, name.length, METADATA_COOKIE)
            ):
                exchange.request.set_sticky_metadata(unquoted(text[value.start : value.start + value.length]))
            elif not has_session:
                has_session = is_session_cookie(settings, text + name.start, name.length)
    if not wanted:
        return 0
    if settings.sticky_for_negotiate and is_negotiate(head.text_of(HEADER_AUTHORIZATION)):
        exchange.request.stick_to(wanted, True)
    elif has_session:
        exchange.request.stick_to(wanted, False)
    return 0


cdef bint next_cookie(const char* text, Py_ssize_t length, Py_ssize_t* at, Slice* name, Slice* value) noexcept nogil:
    """Step to the next `name=value` of a Cookie header, blanks around it cut off."""
    cdef Py_ssize_t start = at[0]
    cdef Py_ssize_t stop, equals
    cdef const char* mark
    if start >= length:
        return False
    mark = <const char*>memchr(text + start, c";", length - start)
    stop = length if mark == NULL else mark - text
    at[0] = stop + 1
    while start < stop and is_blank(text[start]):
        start += 1
    while stop > start and is_blank(text[stop - 1]):
        stop -= 1
    mark = <const char*>memchr(text + start, c"=", stop - start)
    equals = stop if mark == NULL else mark - text
    name.start = <uint32_t>start
    name.length = <uint32_t>(equals - start)
    value.start = <uint32_t>min(equals + 1, stop)
    value.length = <uint32_t>(stop - value.start)
    return True


cdef inline bint equals_bytes(const char* text, Py_ssize_t length, bytes other) noexcept:
    return length == PyBytes_GET_SIZE(other) and memcmp(text, PyBytes_AS_STRING(other), length) == 0


cdef bint is_session_cookie(Settings settings, const char* name, Py_ssize_t length) noexcept:
    """Whether a cookie of this name makes a request sticky (`sticky_session_cookie_names`, case-sensitive)."""
    cdef Py_ssize_t i
    if settings.keeps_sticky_metadata and length > 7 and memcmp(name, <const char*>b"__Host-", 7) == 0:
        name += 7
        length -= 7
    for i in range(PyTuple_GET_SIZE(settings.sticky_cookie_names)):
        if equals_bytes(name, length, <bytes>PyTuple_GET_ITEM(settings.sticky_cookie_names, i)):
            return True
    return False


cdef bint is_negotiate(bytes challenge):
    return challenge[:9].lower() == b"negotiate"


cdef bytes unquoted(bytes value):
    """A cookie value without the quotes Go takes off."""
    if len(value) > 1 and value.startswith(b'"') and value.endswith(b'"'):
        return value[1 : len(value) - 1]
    return value


# What Go reads as the value of a cookie, maybe in quotes.
cdef object COOKIE_VALUE = re_compile(rb'"[ !#-:<-\[\]-~]*"|[ !#-:<-\[\]-~]*')

cdef bytes sticky_lines(Exchange exchange, Head head):
    """The `Set-Cookie` lines that go with this response, b"" for none. Only for responses of backends (spec 5.3.3, 9.3)."""
    cdef Settings settings = exchange.plane.settings
    cdef Endpoint endpoint = exchange.round_trip.endpoint
    cdef bytes identity, lines
    cdef list sessions = []
    cdef StickyAttributes attributes
    cdef bint is_negotiated, is_own
    cdef const char* text
    cdef Py_ssize_t length, at
    cdef Slice name, value
    cdef int i
    if endpoint.instance.length == 0:
        return b""
    is_negotiated = settings.sticky_for_negotiate and is_negotiate(head.text_of(HEADER_WWW_AUTHENTICATE))
    if not is_negotiated and exchange.request.sticky is None and not head.has(HEADER_SET_COOKIE):
        return b""
    identity = endpoint.cookie_identity()
    if head.has(HEADER_SET_COOKIE):
        for i in range(head.first[HEADER_SET_COOKIE], head.count):
            if head.fields[i].kind != HEADER_SET_COOKIE:
                continue
            text = head.base + head.fields[i].value.start
            length = head.fields[i].value.length
            at = 0
            if length > SET_COOKIE_MAX or not next_cookie(text, length, &at, &name, &value):
                continue
            while name.length and is_blank(text[name.start + name.length - 1]):
                name.length -= 1
            is_own = equals_bytes(text + name.start, name.length, STICKY_COOKIE)
            if not (is_own or is_session_cookie(settings, text + name.start, name.length)):
                continue
            if value.start == name.start + name.length or (
                COOKIE_VALUE.fullmatch(text[value.start : value.start + value.length]) is None
            ):
                # No cookie to Go, which so does not see it here.
                continue
            if is_own:
                # The app manages affinity itself.
                return b""
            # With metadata every session cookie counts: to browsers partitioned ones are cookies of their own.
            if not sessions or (settings.keeps_sticky_metadata and len(sessions) < SESSION_COOKIES_MAX):
                sessions.append(StickyAttributes.of_session(text[:length], settings.keeps_sticky_metadata))
    if is_negotiated or not sessions:
        if exchange.request.sticky == identity or not (is_negotiated or exchange.request.sticky is not None):
            return b""
        attributes = StickyAttributes()
        if is_negotiated:
            attributes.max_age = b"; Max-Age=60"
            attributes.same_site = b"; SameSite=Strict"
        elif settings.keeps_sticky_metadata:
            attributes = attributes_of_metadata(exchange)
        return sticky_cookie(exchange, STICKY_COOKIE, identity, attributes)
    lines = b""
    for attributes in sessions:
        lines += sticky_cookie(exchange, STICKY_COOKIE, identity, attributes)
        if settings.keeps_sticky_metadata:
            lines += sticky_cookie(exchange, METADATA_COOKIE, attributes.metadata(), attributes)
    return lines


cdef bytes sticky_cookie(Exchange exchange, bytes name, bytes value, StickyAttributes attributes):
    """A whole `Set-Cookie` line; the attributes in Go's order."""
    cdef bint is_secure = attributes.is_secure or exchange.plane.settings.secure_cookies
    return b"".join([
        b"Set-Cookie: ", name, b"=", cookie_value(value), b"; Path=", cookie_path(exchange.round_trip.pool.context_path),
        attributes.expires, attributes.max_age, b"; HttpOnly", b"; Secure" if is_secure else b"", attributes.same_site,
        attributes.partitioned, b"\r\n",
    ])


cdef bytes cookie_value(bytes value):
    """A value as Go writes it into a cookie: without what no value may have, in quotes where a blank or a comma is in it."""
    value = value.translate(None, b'";\\')
    return b'"' + value + b'"' if b" " in value or b"," in value else value


cdef bytes cookie_path(str path):
    """A registered path as a cookie attribute: without what would end it."""
    return bytes([byte for byte in path.encode("latin-1", "replace") if 32 <= byte < 127 and byte != 59])


cdef class StickyAttributes:
    """Attributes of a cookie, with their `; ` in front; none at first."""

    def __cinit__(self):
        self.expires = self.max_age = self.same_site = self.partitioned = b""

    @staticmethod
    cdef StickyAttributes of_session(bytes text, bint copies_age):
        """Those of an app's session cookie that are copied (RFC 6265 section 5.2, read as Go does)."""
        cdef StickyAttributes self = StickyAttributes()
        cdef bytes key, value
        for part in text.split(b";", ATTRIBUTES_MAX + 1)[1 : ATTRIBUTES_MAX + 1]:
            key, _, value = part.strip(b" \t").partition(b"=")
            key = key.lower()
            if key == b"secure":
                self.is_secure = True
            elif key == b"partitioned":
                self.partitioned = b"; Partitioned"
            elif key == b"samesite":
                if value.lower() in SAME_SITES:
                    self.same_site = b"; SameSite=" + value.capitalize()
            elif key == b"max-age":
                if is_deletion(value):
                    self.set_age(-1)
                elif copies_age and is_age(value):
                    # Without metadata a positive age is the app's own business (spec 5.3.3).
                    self.set_age(int(value))
            elif key == b"expires":
                self.set_expiry(unix_time(value))
        return self

    cdef int set_age(self, int64_t seconds) except -1:
        """Live so long from now on; negative: be deleted."""
        self.max_age = b"; Max-Age=%d" % max(0, seconds)
        self.ends_at = wall_ns() // 1000000000 + seconds if seconds > 0 else -1
        return 0

    cdef int set_expiry(self, object at) except -1:
        """Expire at this Unix time, if it is one."""
        if at is not None:
            self.expires = b"; Expires=" + formatdate(at, usegmt=True).encode("ascii")
            self.expires_at = at
        return 0

    cdef bytes metadata(self):
        """What `__VCAP_ID_META__` keeps of these for the day the instance is gone (spec 9.3)."""
        cdef list parts = []
        if self.is_secure:
            parts.append(b"secure")
        if self.partitioned:
            parts.append(b"partitioned")
        if self.expires:
            parts.append(b"expires=%d" % self.expires_at)
        if self.max_age:
            parts.append(b"maxage=%d" % self.ends_at)
        if self.same_site:
            parts.append(b"samesite=" + self.same_site.partition(b"=")[2].lower())
        return b"&".join(parts)


cdef frozenset SAME_SITES = frozenset((b"lax", b"strict", b"none"))


cdef StickyAttributes attributes_of_metadata(Exchange exchange):
    """What the client's `__VCAP_ID_META__` says of the cookie that is to be issued anew."""
    cdef StickyAttributes attributes = StickyAttributes()
    cdef bytes key, value
    if not exchange.request.sticky_metadata:
        exchange.log(LOG_INFO, "vcap-id-meta-cookie-not-found", {})
        return attributes
    try:
        for part in exchange.request.sticky_metadata.split(b"&"):
            key, _, value = part.partition(b"=")
            if part == b"secure":
                attributes.is_secure = True
            elif part == b"partitioned":
                attributes.partitioned = b"; Partitioned"
            elif key == b"expires" and is_age(value):
                attributes.set_expiry(int(value))
            elif key == b"maxage" and (value == b"-1" or is_age(value)):
                # A cookie whose time is over is deleted.
                attributes.set_age(max(-1, int(value) - wall_ns() // 1000000000))
            elif key == b"samesite" and value in SAME_SITES:
                attributes.same_site = b"; SameSite=" + value.capitalize()
            else:
                raise ValueError(f"not understood: {part!r}")
    except (ValueError, OverflowError, OSError) as error:
        exchange.log(LOG_INFO, "vcap-id-meta-cookie-parse-error", {"error": str(error)})
        return StickyAttributes()
    return attributes


cdef bint is_age(bytes text) except -1:
    """Whether this is a number of seconds as Go would write it: what has a leading zero does not count."""
    return text.isdigit() and len(text) <= 18 and not (text.startswith(b"0") and len(text) > 1)


cdef bint is_deletion(bytes age) except -1:
    """Whether Go reads this Max-Age as zero or less; what is no number, or has a leading zero, does not count."""
    cdef bytes digits = age.removeprefix(b"-").removeprefix(b"+")
    if not digits.isdigit() or len(digits) > 18:
        return False
    return int(digits) == 0 or (age.startswith(b"-") and not age.startswith(b"0"))


cdef object unix_time(bytes value):
    """Seconds since 1970 of a cookie's date, None for a date Go does not read."""
    cdef str text
    if PyBytes_GET_SIZE(value) > DATE_MAX:
        return None
    text = value.decode("latin-1")
    for form in ("%a, %d %b %Y %H:%M:%S %Z", "%a, %d-%b-%Y %H:%M:%S %Z"):
        try:
            at = strptime(text, form)
        except ValueError:
            continue
        if at.tm_year >= 1601:
            return timegm(at)
    return None
