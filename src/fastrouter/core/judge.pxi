# Judge: httptools (llhttp, strict) with nothing but two callbacks.
#
# llhttp sees every byte of every message and decides whether it is HTTP; the slices our own scan takes are only used when it
# agrees. No per-header Python call happens, which is what makes the judge cheap (docs/performance.md).

cdef class Judge:
    """One llhttp parser between two messages or inside one. Serves one side (requests or responses) for its whole life."""

    def __cinit__(self, bint for_requests):
        parser = (HttpRequestParser if for_requests else HttpResponseParser)(self)
        self.parser_feed = parser.feed_data
        self.parser_goes_on = parser.should_keep_alive

    def on_headers_complete(self):
        self.head_complete = True

    def on_message_complete(self):
        self.message_complete = True
        # To be asked now: behind the message llhttp has forgotten what it has seen.
        self.goes_on = self.parser_goes_on()

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
        self.parser_feed = self.parser_goes_on = None


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
        """Both readers agree that the message is over. The judge serves another one only if llhttp itself would go on."""
        if judge.message_complete and judge.goes_on and not judge.upgraded and self.count < JUDGES_KEPT:
            judge.head_complete = judge.message_complete = judge.goes_on = False
            judge.below = self.top
            self.top = judge
            self.count += 1
        else:
            judge.discard()


cdef int JUDGES_KEPT = 1024
cdef JudgeStore request_judges = JudgeStore(True)
cdef JudgeStore response_judges = JudgeStore(False)
