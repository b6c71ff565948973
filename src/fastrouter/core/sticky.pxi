# Sticky sessions: which instance a client wants back to, and the cookie that tells it which one served (spec 5.3).

cdef bytes STICKY_COOKIE = b"__VCAP_ID__"


cdef int read_sticky(Exchange exchange, Head head) except -1:
    """Note the instance the request wants: a session cookie or Negotiate makes `__VCAP_ID__` count; alone it does not."""
    cdef Settings settings = exchange.tripper.settings
    cdef bytes wanted = None
    cdef bint has_session = False
    cdef Slice name, value
    cdef const char* text
    cdef Py_ssize_t at
    cdef int i
    if not head.has(HEADER_COOKIE):
        return 0
    for i in range(head.first[HEADER_COOKIE], head.count):
        if head.fields[i].kind != HEADER_COOKIE:
            continue
        text = head.base + head.fields[i].value.start
        at = 0
        while next_cookie(text, head.fields[i].value.length, &at, &name, &value):
            if equals_bytes(text + name.start, name.length, STICKY_COOKIE):
                if wanted is None:
                    wanted = unquoted(text[value.start : value.start + value.length])
            elif not has_session:
                has_session = is_session_cookie(settings, text + name.start, name.length)
    if not wanted:
        return 0
    if settings.sticky_for_negotiate and is_negotiate(head.text_of(HEADER_AUTHORIZATION)):
        exchange.sticky = wanted
        exchange.must_stick = True
    elif has_session:
        exchange.sticky = wanted
    return 0


cdef bint next_cookie(const char* text, Py_ssize_t length, Py_ssize_t* at, Slice* name, Slice* value) noexcept nogil:
    """Step to the next `name=value` of a Cookie header, blanks around it cut off."""
    cdef Py_ssize_t start = at[0]
    cdef Py_ssize_t stop, equals
    if start >= length:
        return False
    stop = start
    while stop < length and text[stop] != c";":
        stop += 1
    at[0] = stop + 1
    while start < stop and (text[start] == c" " or text[start] == c"\t"):
        start += 1
    while stop > start and (text[stop - 1] == c" " or text[stop - 1] == c"\t"):
        stop -= 1
    equals = start
    while equals < stop and text[equals] != c"=":
        equals += 1
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


cdef bytes sticky_line(Exchange exchange, Head head):
    """The `Set-Cookie` line that goes with this response, b"" for none. Only for responses of backends (spec 5.3.3)."""
    cdef Settings settings = exchange.tripper.settings
    cdef Endpoint endpoint = exchange.endpoint
    cdef bytes identity, name
    cdef SessionCookie session = None
    cdef bint is_negotiated, is_wanted
    cdef int i
    if endpoint.instance.length == 0:
        return b""
    is_negotiated = settings.sticky_for_negotiate and is_negotiate(head.text_of(HEADER_WWW_AUTHENTICATE))
    if not is_negotiated and exchange.sticky is None and not head.has(HEADER_SET_COOKIE):
        return b""
    identity = endpoint.cookie_identity()
    is_wanted = (is_negotiated or exchange.sticky is not None) and exchange.sticky != identity
    if head.has(HEADER_SET_COOKIE):
        for i in range(head.first[HEADER_SET_COOKIE], head.count):
            if head.fields[i].kind != HEADER_SET_COOKIE:
                continue
            text = head.field_text(i)
            name = text.partition(b";")[0].partition(b"=")[0].strip(b" \t")
            if name == STICKY_COOKIE:
                # The app manages affinity itself.
                return b""
            if session is None and name in settings.sticky_cookie_names:
                session = SessionCookie(text)
    if not is_negotiated and session is not None:
        is_wanted = True
    if not is_wanted:
        return b""
    line = b"Set-Cookie: __VCAP_ID__=%s; Path=%s" % (identity, cookie_path(exchange.pool.context_path))
    if is_negotiated:
        line += b"; Max-Age=60; HttpOnly"
        if settings.secure_cookies:
            line += b"; Secure"
        line += b"; SameSite=Strict"
    elif session is not None:
        line += session.expires + session.max_age + b"; HttpOnly"
        if session.is_secure or settings.secure_cookies:
            line += b"; Secure"
        line += session.same_site + session.partitioned
    else:
        line += b"; HttpOnly"
        if settings.secure_cookies:
            line += b"; Secure"
    return line + b"\r\n"


cdef bytes cookie_path(str path):
    """A registered path as a cookie attribute: without what would end it."""
    return bytes([byte for byte in path.encode("latin-1", "replace") if 32 <= byte < 127 and byte != 59])


cdef class SessionCookie:
    """The attributes of an app's session cookie, ready to be copied (RFC 6265 5.2, read as Go does)."""

    def __cinit__(self, bytes text):
        cdef bytes key, value
        self.expires = self.max_age = self.same_site = self.partitioned = b""
        for part in text.split(b";")[1:]:
            key, _, value = part.strip(b" \t").partition(b"=")
            key = key.lower()
            if key == b"secure":
                self.is_secure = True
            elif key == b"partitioned":
                self.partitioned = b"; Partitioned"
            elif key == b"samesite":
                if value.lower() in (b"lax", b"strict", b"none"):
                    self.same_site = b"; SameSite=" + value.capitalize()
            elif key == b"max-age":
                # Only a deletion is copied; a positive age is the app's own business (spec 5.3.3).
                if is_deletion(value):
                    self.max_age = b"; Max-Age=0"
            elif key == b"expires":
                self.expires = expires_attribute(value)


cdef bint is_deletion(bytes age):
    """Whether Go reads this Max-Age as zero or less; what is no number, or has a leading zero, does not count."""
    cdef bytes digits = age.removeprefix(b"-").removeprefix(b"+")
    if not digits.isdigit() or len(digits) > 18:
        return False
    return int(digits) == 0 or (age.startswith(b"-") and not age.startswith(b"0"))


cdef bytes expires_attribute(bytes value):
    """`; Expires=` as an IMF date, b"" for a date Go does not read."""
    cdef str text = value.decode("latin-1")
    for form in ("%a, %d %b %Y %H:%M:%S %Z", "%a, %d-%b-%Y %H:%M:%S %Z"):
        try:
            at = strptime(text, form)
        except ValueError:
            continue
        if at.tm_year >= 1601:
            return b"; Expires=" + formatdate(timegm(at), usegmt=True).encode("ascii")
    return b""
