# Rewriting: what an operator takes off responses and adds to them (spec 4.2, handler 12), router-made ones included.

cdef class Rewriting:
    """`http_rewrite.responses`: names to remove, and `Name: value` lines to add. Raises ValueError for what is no such line."""

    def __cinit__(self, removed, added):
        cdef dict lines = {}
        self.removed = frozenset([name.lower().encode("latin-1", "replace") for name in removed])
        for line in added:
            name, _, value = line.encode("utf-8").partition(b":")
            if not name or not line.isprintable() or not has_only(_is_token, name, len(name)):
                raise ValueError(f"not a header line: {line!r}")
            if name.lower() in OWN_HEADERS:
                raise ValueError(f"{line.partition(':')[0]} is for the router itself to set")
            # Several values of one name come all or none.
            lines[name.lower()] = lines.get(name.lower(), b"") + canonical(name) + b": " + value.strip() + b"\r\n"
        self.added = list(lines.items())

    cdef bytes apply(self, bytes lines):
        """Whole header lines, rewritten: first what goes, then what is missing."""
        cdef list kept = []
        cdef set names = set()
        for line in lines.splitlines(True):
            name = line.partition(b":")[0].lower()
            if name not in self.removed:
                kept.append(line)
                names.add(name)
        for name, line in self.added:
            if name not in names:
                kept.append(line)
        return b"".join(kept)


# How a message is framed and whether its connection stays is nothing an operator could know.
cdef frozenset OWN_HEADERS = frozenset((b"connection", b"content-length", b"trailer", b"transfer-encoding", b"upgrade"))


cdef bytes canonical(bytes name):
    """A header name as Go spells it."""
    cdef bytes spelt = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(name))
    put_canonical(PyBytes_AS_STRING(spelt), PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    return spelt


cdef bytes rewrite(Exchange exchange, bytes lines):
    """Rewrite the header lines of a response; the log shows the router error that is left. Settings say that there is a rule."""
    cdef bytes rewritten = exchange.tripper.settings.rewriting.apply(lines)
    cdef bytes error
    _, found, error = (b"\r\n" + rewritten).partition(b"\r\nX-Cf-Routererror: ")
    exchange.router_error = error.partition(b"\r\n")[0] if found else None
    return rewritten
