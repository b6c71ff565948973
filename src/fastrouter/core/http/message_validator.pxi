# MessageValidator: llhttp through httptools, strict in everything that frames a message, with only two callbacks.
#
# llhttp gets every byte of every message and decides whether it is HTTP; the slices of our own scan are used only when it
# agrees. It makes no Python call per header, so it is cheap (docs/performance.md).

cdef class MessageValidator:
    """One llhttp parser between two messages or inside one. Serves one side (requests or responses) for its whole life."""

    def __cinit__(self, bint for_requests):
        parser = (HttpRequestParser if for_requests else HttpResponseParser)(self)
        # Otherwise llhttp refuses everything behind a message with `Connection: close`, but its next message is of another
        # connection.
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
        """Break the cycle of parser and validator, so that both are freed without the collector. Not usable after this."""
        self.parser_feed = None


cdef class ValidatorStore:
    """Unused validators, as a linked stack. A message borrows one, so idle connections hold no parser."""

    def __cinit__(self, bint for_requests):
        self.for_requests = for_requests

    cdef MessageValidator borrow(self):
        cdef MessageValidator validator = self.top
        if validator is None:
            return MessageValidator(self.for_requests)
        self.top = validator.below
        validator.below = None
        self.count -= 1
        return validator

    cdef void take_back(self, MessageValidator validator) noexcept:
        """The message is over, as our scan and llhttp agree: the validator may serve another one."""
        if validator.message_complete and not validator.upgraded and self.count < VALIDATORS_KEPT:
            validator.head_complete = validator.message_complete = False
            validator.below = self.top
            self.top = validator
            self.count += 1
        else:
            validator.discard()


cdef int VALIDATORS_KEPT = 1024
cdef ValidatorStore request_validators = ValidatorStore(True)
cdef ValidatorStore response_validators = ValidatorStore(False)
