# Rewriting: what an operator takes off responses and adds to them (spec 4.2, handler 12), router-made ones included.

cdef class Rewriting:
    """`http_rewrite.responses`: names to remove, and `Name: value` lines to add. Raises ValueError for what is no such line."""

    def __cinit__(self, removed, added):
        cdef dict lines = {}
        cdef Rule* rule
        cdef bytes name, value
        for line in added:
            name, _, value = line.encode("utf-8").partition(b":")
            if not name or not line.isprintable() or not has_only(_is_token, name, len(name)):
                raise ValueError(f"not a header line: {line!r}")
            if name.lower() in OWN_HEADERS:
                raise ValueError(f"{line.partition(':')[0]} is for the router itself to set")
            # The values of one name are added together, or not at all.
            lines[name.lower()] = lines.get(name.lower(), b"") + canonical(name) + b": " + value.strip() + b"\r\n"
        gone = {text.lower().encode("latin-1", "replace") for text in removed}
        # Added lines keep their order. The last two names are looked for even if no rule has them.
        self.names = [*dict.fromkeys((*lines, *gone, b"date", b"x-cf-routererror"))]
        self.lines = [lines.get(each, b"") for each in self.names]
        self.rules = <Rule*>calloc(len(self.names), sizeof(Rule))
        if self.rules == NULL:
            raise MemoryError()
        rule = self.rules
        for name, value in zip(self.names, self.lines, strict=True):
            rule.name = PyBytes_AS_STRING(name)
            rule.length = PyBytes_GET_SIZE(name)
            rule.removes = name in gone
            rule.lines = PyBytes_AS_STRING(value)
            rule.lines_length = PyBytes_GET_SIZE(value)
            rule.next = self.by_length[rule.length & (RULE_LENGTHS - 1)]
            self.by_length[rule.length & (RULE_LENGTHS - 1)] = rule
            rule += 1
        self.date = self._rule_of(b"date", 4)
        self.router_error = self._rule_of(b"x-cf-routererror", 16)

    def __dealloc__(self):
        free(self.rules)

    cdef Rule* _rule_of(self, const char* name, Py_ssize_t length) noexcept:
        """The rule for a name in any spelling; NULL if there is none."""
        cdef Rule* rule = self.by_length[length & (RULE_LENGTHS - 1)]
        while rule != NULL and not (rule.length == length and is_same_text(name, rule.name, length)):
            rule = rule.next
        return rule

    cdef void apply(self, Py_ssize_t start) noexcept:
        """Rewrite the whole header lines that stand in the message from `start` on: first what goes, then what is missing."""
        cdef char* kept = _message + start
        cdef char* line = kept
        cdef char* end = _at
        cdef char* stop
        cdef Rule* rule
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(self.names)):
            self.rules[i].line = -1
        while line < end:
            stop = <char*>memchr(line, c"\n", end - line) + 1
            rule = self._rule_of(line, <char*>memchr(line, c":", stop - line) - line)
            if rule == NULL or not rule.removes:
                if rule != NULL and rule.line < 0:
                    rule.line = kept - _message
                memmove(kept, line, stop - line)
                kept += stop - line
            line = stop
        cut_message(kept - _message)
        for i in range(PyList_GET_SIZE(self.names)):
            rule = &self.rules[i]
            if rule.line < 0 and rule.lines_length:
                rule.line = message_size()
                put(rule.lines, rule.lines_length)


# Framing and persistence are decided for each message, so no rule can set them.
cdef frozenset OWN_HEADERS = frozenset((b"connection", b"content-length", b"trailer", b"transfer-encoding", b"upgrade"))


cdef bytes canonical(bytes name):
    """A header name as Go spells it."""
    cdef bytes spelt = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(name))
    write_canonical(PyBytes_AS_STRING(spelt), PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    return spelt


cdef int rewrite(Exchange exchange, Py_ssize_t start, bint* is_dated) except -1:
    """Rewrite the header lines of a response, which stand in the message from `start` on, if there is a rule.

    The log shows the router error that is left. `is_dated` tells whether there is a date.
    """
    cdef Rewriting rewriting = exchange.plane.settings.rewriting
    cdef const char* error
    if rewriting is None or _is_lost:
        return 0
    rewriting.apply(start)
    is_dated[0] = rewriting.date.line >= 0
    if rewriting.router_error.line < 0:
        exchange.response.set_router_error(None)
    else:
        error = _message + rewriting.router_error.line + rewriting.router_error.length + 2
        exchange.response.set_router_error(error[: <const char*>memchr(error, c"\r", _at - error) - error])
    return 0
