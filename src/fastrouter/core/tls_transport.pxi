# TLSTransport: TLS between a client's TCP connection, whose protocol it is, and its ClientConnection, whose transport it is.
#
# OpenSSL works on memory. Whatever the TCP connection delivers is decrypted at once and handed on as one piece, so that nothing
# waits in here and the back-pressure of both sides passes through: who does not want plain text does not read TCP.

# What Go answers a client that forgot the s of https (spec 4.0).
cdef bytes PLAIN_HTTP_ANSWER = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


cdef class TLSTransport(Outlet):
    def __cinit__(self, FrontDoor door, ClientConnection client):
        self.door = door
        self.tripper = door.tripper
        self.client = client
        self.stage = TLS_GREETING

    # --- asyncio.Protocol of the TCP connection

    def connection_made(self, raw):
        self.transport = raw
        self.attach(raw)
        self.tripper.arrivals.add(self)
        self.arm(self.tripper.header_reads)
        self.tripper.turns.add_arrival(self)

    def data_received(self, bytes data):
        cdef int64_t begun = self.begin_read(PyBytes_GET_SIZE(data))
        if self.must_wait():
            self.keep_for_turn(data)
        elif self.stage == TLS_OPEN and not self.has_end:
            self._decrypt(data)
        elif self.stage == TLS_OPEN or self.stage == TLS_SHUT:
            self._discard(data)
        elif self.stage == TLS_GREETING:
            self._greet(data)
        else:
            self._go_on_greeting(data)
        self.end_read(PyBytes_GET_SIZE(data), begun)

    def eof_received(self):
        if self.stage == TLS_OPEN:
            # Cut off without a goodbye: HTTP can tell by itself what is complete.
            return self._on_end()
        return False

    def connection_lost(self, error):
        cdef ClientConnection client = self.client
        self._leave()
        error = self.detach(error)
        self.client = None
        if client is not None and client.transport is self:
            client.connection_lost(error)
        self.tls = self.incoming = self.outgoing = None
        self.read_record = self.write_record = None
        self.context = None

    def pause_writing(self):
        self.is_write_paused = True
        if self.client is not None and self.client.transport is self:
            self.client.pause_writing()

    def resume_writing(self):
        self.is_write_paused = False
        self.unasked = 0
        if self.client is not None and self.client.transport is self:
            self.client.resume_writing()

    cdef on_deadline(self, DeadlineQueue queue):
        # A handshake that takes too long, or somebody turned away who does not go.
        self.abort()

    cdef int on_panic(self, object error) except -1:
        self.abort()
        return tell_of_panic(self.tripper, error)

    cdef int on_turn(self) except -1:
        cdef bytes data = self.unread
        self.unread = None
        self.is_heavy = False
        if data is not None:
            self.data_received(data)
        return 0

    # --- transport of the client

    def write(self, data):
        if self.stage == TLS_OPEN:
            self._encrypt(data)

    def writelines(self, parts):
        for part in parts:
            if self.stage == TLS_OPEN:
                self._encrypt(part)

    def pause_reading(self):
        self.let_read(False)

    def resume_reading(self):
        self.let_read(True)

    def get_extra_info(self, name, default=None):
        return self.transport.get_extra_info(name, default)

    def get_write_buffer_size(self):
        # Nothing stays in here.
        return self.transport.get_write_buffer_size()

    def is_closing(self):
        return self.transport is None or self.transport.is_closing()

    def can_write_eof(self):
        """A tunnel's half-close cannot be told: many TLS stacks take it for the end of both directions."""
        return False

    def write_eof(self):
        """Say goodbye and read on. Nothing is decrypted any more, and what comes is thrown away."""
        self._say_goodbye()
        self.transport.write_eof()

    def close(self):
        self._say_goodbye()
        self.transport.close()

    def abort(self):
        if self.transport is not None:
            self.transport.abort()

    # --- handshake

    cdef int _greet(self, bytes data) except -1:
        """Look at the first bytes: is this TLS at all, and for a protocol that is spoken here?"""
        cdef FrontDoor door = self.door
        cdef bytes hello
        if self.greeting is not None:
            data = self.greeting + data
        if <unsigned char>PyBytes_AS_STRING(data)[0] != TLS_RECORD_HANDSHAKE:
            return self._turn_away(PLAIN_HTTP_ANSWER if c"A" <= PyBytes_AS_STRING(data)[0] <= c"Z" else b"")
        if door.protocols:
            hello = gather_client_hello(data)
            if hello is None:
                if PyBytes_GET_SIZE(data) > CLIENT_HELLO_MAX:
                    return self._turn_away(b"")
                self.greeting = data
                return 0
            if offers_only_foreign_protocols(hello, door.protocols):
                return self._turn_away(NO_APPLICATION_PROTOCOL)
        self.greeting = None
        self.incoming = MemoryBIO()
        self.outgoing = MemoryBIO()
        self.context = door.context
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, True)
        self.admits = door.admits
        self.stage = TLS_HANDSHAKE
        self.data_received(data)
        return 0

    cdef int _go_on_greeting(self, bytes data) except -1:
        """More of the handshake, and maybe of what comes right behind it."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t end
        while at < size and self.stage == TLS_HANDSHAKE:
            end = self._end_of_slice(data, at)
            self.incoming.write(data if end - at == size else data[at:end])
            at = end
            self._shake_hands()
        if at < size:
            self.data_received(data[at:])
        return 0

    cdef int _shake_hands(self) except -1:
        try:
            self.tls.do_handshake()
        except SSLWantReadError:
            return self._flush()
        except SSLError:
            # OpenSSL has written the alert.
            return self._turn_away(self.outgoing.read())
        if self.admits is not None and not self.admits(self.tls):
            # Before the last flight leaves, and with it a ticket to come back.
            return self._turn_away(b"")
        self._flush()
        return self._open()

    cdef int _open(self) except -1:
        cdef ClientConnection client = self.client
        self._leave()
        self.read_record = self.tls.read
        self.write_record = self.tls.write
        self.stage = TLS_OPEN
        client.is_tls = True
        client.peer_certificate = self.tls.getpeercert(True)
        client.connection_made(self)
        return self._decrypt(b"")

    cdef int _turn_away(self, bytes last_words) except -1:
        """End a connection that no client has yet; reading on for a moment lets the last words arrive."""
        self.stage = TLS_SHUT
        self.client = None
        self.greeting = None
        if last_words:
            self.write_out(last_words)
        self.transport.write_eof()
        self.arm(self.tripper.lingerings)
        return 0

    cdef int _leave(self) except -1:
        """It is a client's connection now, or none at all."""
        self.disarm()
        self.tripper.arrivals.discard(self)
        return 0

    # --- records

    cdef int _decrypt(self, bytes data) except -1:
        """Hand everything that `data` completes to the client, as one piece."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = self._end_of_slice(data, 0)
        cdef Py_ssize_t end
        cdef list texts = []
        cdef int64_t begun = 0
        cdef bint has_end
        self.incoming.write(data if size <= at else data[:at])
        has_end = self._read_records(texts)
        while at < size and not has_end:
            if is_share_spent(&begun):
                self.keep_for_turn(data[at:])
                break
            end = self._end_of_slice(data, at)
            self.incoming.write(data[at:end])
            at = end
            has_end = self._read_records(texts)
        if PyList_GET_SIZE(texts) == 1:
            self.client.data_received(texts[0])
        elif texts:
            self.client.data_received(b"".join(texts))
        if has_end and self.stage == TLS_OPEN and not self._on_end():
            self.transport.close()
        return 0

    cdef Py_ssize_t _end_of_slice(self, bytes data, Py_ssize_t at) except -1:
        """Where what OpenSSL is given next ends: behind so many bytes or records.

        No more bytes than the memory BIO may keep, and not too few: each cut costs an exception. A key update is a record of 22
        bytes that takes OpenSSL 30 µs.
        """
        cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t end = min(PyBytes_GET_SIZE(data), at + TLS_SLICE)
        cdef Py_ssize_t step
        cdef int records = 0
        while at < end:
            if self.record_left > 0:
                step = min(self.record_left, end - at)
                self.record_left -= step
                at += step
                continue
            if self.record_head == 0:
                if records == TLS_RECORDS_AT_ONCE:
                    return at
                records += 1
            self.record_length = (self.record_length << 8 | base[at]) & 0xFFFF
            self.record_head += 1
            at += 1
            if self.record_head == 5:
                self.record_head = 0
                self.record_left = self.record_length
        return at

    cdef bint _read_records(self, list texts) except -1:
        """Decrypt what is in `incoming`. Returns whether it is the last: a goodbye, or nothing anybody can read."""
        cdef bytes text
        try:
            while True:
                text = self.read_record(TLS_RECORD_MAX)
                if not text:
                    return True
                texts.append(text)
                # What follows is empty or a part of a record, which would raise the exception below.
                if not self.incoming.pending:
                    return False
        except SSLWantReadError:
            return self._flush_unasked()
        except SSLZeroReturnError:
            return True
        except SSLError:
            # Of what was changed on the way, nothing is handed on. OpenSSL has written the alert.
            texts.clear()
            self.stage = TLS_SHUT
            self._flush()
            self.transport.close()
            return True

    cdef int _encrypt(self, data) except -1:
        cdef Py_ssize_t size = len(data)
        cdef Py_ssize_t at = 0
        try:
            if size <= TLS_RECORD_MAX:
                self.write_record(data)
            else:
                data = memoryview(data)
                while at < size:
                    # A memory BIO never gives back what it has grown to: one record at a time is as much as it may keep.
                    at += self.write_record(data[at : at + TLS_RECORD_MAX])
                    self._flush()
        except SSLError:
            # The peer has broken it off with an alert.
            self.abort()
            return 0
        return self._flush()

    cdef bint _flush_unasked(self) except -1:
        """Write what OpenSSL says of its own (answers to key updates), unless the peer asks for it and takes none of it.

        Returns whether that was the end of the connection.
        """
        self.unasked += self.outgoing.pending
        if self.is_write_paused and self.unasked > TLS_UNASKED_MAX:
            self.abort()
            return True
        self._flush()
        return False

    cdef int _flush(self) except -1:
        if self.outgoing.pending:
            self.write_out(self.outgoing.read())
        return 0

    # --- endings

    cdef bint _on_end(self) except -1:
        """The peer will send no more. Returns whether there is still something to be written."""
        if not self.has_end:
            self.has_end = True
            if not self.client.eof_received():
                self._say_goodbye()
                return False
        return True

    cdef int _say_goodbye(self) except -1:
        if self.stage != TLS_OPEN:
            return 0
        self.stage = TLS_SHUT
        try:
            self.tls.unwrap()
        except SSLError:
            # It would like to wait for the other side's.
            pass
        return self._flush()

    cdef int _discard(self, bytes data) except -1:
        """What comes after the last words of either side: nobody wants it, and who goes on sending it is cut off."""
        self.discarded += PyBytes_GET_SIZE(data)
        if self.discarded > DISCARD_MAX:
            self.abort()
        return 0
