# Judge: httptools (llhttp, strict in all that makes a message) with nothing but two callbacks.
#
# llhttp sees every byte of every message and decides whether it is HTTP; the slices our own scan takes are only used when it
# agrees. No per-header Python call happens, which is what makes the judge cheap (docs/performance.md).

cdef class Judge:
    """One llhttp parser between two messages or inside one. Serves one side (requests or responses) for its whole life."""

    def __cinit__(self, bint for_requests):
        parser = (HttpRequestParser if for_requests else HttpResponseParser)(self)
        # Who says `Connection: close`, in whichever header, says it of a connection. That llhttp takes nothing behind such a
        # message is no concern of the next one, which may be a stranger's.
        parser.set_dangerous_leniencies(lenient_keep_alive=True)
        self.parser_feed = parser.feed_data

    def on_headers_complete(self):
        self.head_complete = True

    def on_message_complete(self):
        self.message_complete = True

    cdef bint accepts(self, object data) except -1:
        """Feed the next bytes of the message (bytes or memoryview). False: not HTTP, `reason` says why.

        Bytes after an upgrade request's head must not be fed; the parser is spent once `upgraded` is set.
        """
        try:
            self.parser_feed(data)
        except HttpParserUpgrade:
            self.upgraded = True
        except HttpParserError as error:
            self.reason = str(error)
            return False
        return True

    cdef void discard(self) noexcept:
        """Never to be used again. Parser and judge hold each other: let both go without the collector."""
        self.parser_feed = None


cdef class JudgeStore:
    """Judges at rest; a message borrows one, so idle connections hold no parser. A stack, linked through them."""

    def __cinit__(self, bint for_requests):
        self.for_requests = for_requests

    cdef Judge borrow(self):
        cdef Judge judge = self.top
        if judge is None:
            return Judge(self.for_requests)
        self.top = judge.below
        judge.below = None
        self.count -= 1
        return judge

    cdef void take_back(self, Judge judge) noexcept:
        """Both readers agree that the message is over: the judge may serve another one."""
        if judge.message_complete and not judge.upgraded and self.count < JUDGES_KEPT:
            judge.head_complete = judge.message_complete = False
            judge.below = self.top
            self.top = judge
            self.count += 1
        else:
            judge.discard()


cdef int JUDGES_KEPT = 1024
cdef JudgeStore request_judges = JudgeStore(True)
cdef JudgeStore response_judges = JudgeStore(False)
