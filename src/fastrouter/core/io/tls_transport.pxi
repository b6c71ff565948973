# TLSTransport: TLS between a TCP connection, whose protocol it is, and its Connection, whose transport it is.
#
# OpenSSL works on memory. What the TCP connection delivers is decrypted at once and handed on as one piece. So nothing waits in
# here, and back-pressure works end to end: a connection that does not take plain text stops the reads of TCP. A
# ClientTLSTransport (client_tls.pxi) and a BackendTLSTransport (backend_tls.pxi) differ in how they begin, and how they fail.

cdef class TLSTransport(SocketReader):
    # --- asyncio.Protocol of the TCP connection

    cdef int on_data(self, bytes data) except -1:
        self.begin_read(PyBytes_GET_SIZE(data))
        if self.must_wait():
            self.keep_for_turn(data)
        elif self.stage == TLS_OPEN and not self.has_end:
            self._decrypt(data)
        elif self.stage == TLS_OPEN or self.stage == TLS_SHUT:
            self._discard(data)
        elif self.stage == TLS_HANDSHAKE:
            self._continue_handshake(data)
        else:
            self.on_client_hello(data)
        return self.end_read(PyBytes_GET_SIZE(data))

    def eof_received(self):
        if self.unread is not None:
            # These bytes came before the end of the connection.
            self.is_cut = True
            return True
        if self.stage == TLS_OPEN:
            # An end without close_notify is accepted, because HTTP's framing shows whether a message is complete.
            return self._on_end()
        return False

    def pause_writing(self):
        self.is_write_paused = True
        if self.has_owner():
            self.owner.pause_writing()

    def resume_writing(self):
        self.is_write_paused = False
        self.post_handshake = 0
        if self.has_owner():
            self.owner.resume_writing()

    cdef int on_turn(self) except -1:
        cdef bytes data = self.unread
        self.unread = None
        self.is_heavy = False
        if data is not None:
            self.on_data(data)
        if self.is_cut and self.unread is None:
            self.is_cut = False
            if not self.eof_received():
                self.close_transport()
        return 0

    cdef bint has_owner(self) noexcept:
        """Whether this is the owner's transport now."""
        return self.owner is not None and self.owner.transport is self

    cdef int forget(self) except -1:
        """The TCP connection is gone."""
        self.owner = None
        self.tls = self.incoming = self.outgoing = None
        self.read_record = self.write_record = None
        self.context = None
        return 0

    # --- transport of the connection

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
        # Nothing is buffered here.
        return self.transport.get_write_buffer_size()

    def is_closing(self):
        return self.transport is None or self.transport.is_closing()

    def can_write_eof(self):
        """A tunnel's half-close cannot be passed on: many TLS stacks take it for the end of both directions."""
        return False

    def write_eof(self):
        """Write close_notify and read on. Nothing is decrypted any more, and what comes is thrown away."""
        self._write_close_notify()
        self.transport.write_eof()

    def close(self):
        self._write_close_notify()
        self.close_transport()

    def abort(self):
        if self.transport is not None:
            self.abort_transport()

    # --- handshake

    cdef int begin_handshake(self, object context, bint is_server, object peer_name) except -1:
        """Begin the handshake; `peer_name` is the name that a server's certificate must have."""
        self.incoming = MemoryBIO()
        self.outgoing = MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, is_server, peer_name)
        self.context = context
        self.stage = TLS_HANDSHAKE
        return 0

    cdef int _continue_handshake(self, bytes data) except -1:
        """Handle bytes of the handshake, and perhaps bytes behind it."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t end
        while at < size and self.stage == TLS_HANDSHAKE:
            if self.is_share_spent():
                return self.keep_for_turn(data[at:])
            end = self._end_of_slice(data, at)
            self.incoming.write(data if end - at == size else data[at:end])
            at = end
            self.shake_hands()
        if at < size:
            self.on_data(data[at:])
        return 0

    cdef int shake_hands(self) except -1:
        try:
            self.tls.do_handshake()
        except SSLWantReadError:
            return self._flush()
        except SSLError as error:
            # OpenSSL has written the alert.
            return self.on_handshake_failed(error)
        return self.on_handshake()

    cdef int open(self) except -1:
        """The handshake is accepted: from now on this is the transport of `owner`."""
        self._flush()
        self.read_record = self.tls.read
        self.write_record = self.tls.write
        self.stage = TLS_OPEN
        self.owner.connection_made(self)
        return self._decrypt(b"")

    cdef int on_client_hello(self, bytes data) except -1:
        """Handle bytes that come before the handshake."""
        raise AssertionError("a TLSTransport class that waits for them defines on_client_hello")

    cdef int on_handshake(self) except -1:
        """OpenSSL has completed the handshake."""
        raise AssertionError("a TLSTransport class defines on_handshake")

    cdef int on_handshake_failed(self, object error) except -1:
        """The handshake has failed with `error`, an SSLError. The alert waits in `outgoing`."""
        raise AssertionError("a TLSTransport class defines on_handshake_failed")

    cdef int on_broken(self, object error) except -1:
        """A record of the peer cannot be decrypted (an SSLError). The alert has been sent."""
        raise AssertionError("a TLSTransport class defines on_broken")

    # --- records

    cdef int _decrypt(self, bytes data) except -1:
        """Decrypt the records that `data` completes, and hand them to the owner as one piece."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t at = self._end_of_slice(data, 0)
        cdef Py_ssize_t end
        cdef list texts = []
        cdef bint has_end
        self.incoming.write(data if size <= at else data[:at])
        has_end = self._read_records(texts)
        while at < size and not has_end:
            if self.is_share_spent():
                self.keep_for_turn(data[at:])
                break
            end = self._end_of_slice(data, at)
            self.incoming.write(data[at:end])
            at = end
            has_end = self._read_records(texts)
        if PyList_GET_SIZE(texts) == 1:
            self.owner.on_data(texts[0])
        elif texts:
            self.owner.on_data(b"".join(texts))
        if has_end and self.stage == TLS_OPEN and not self._on_end():
            self.close_transport()
        return 0

    cdef Py_ssize_t _end_of_slice(self, bytes data, Py_ssize_t at) except -1:
        """The end of the next piece for OpenSSL: a limit of bytes and of records.

        At most what the memory BIO may keep, but not much less, because each cut costs an exception. The limit of records is for
        key updates: each has 22 bytes and takes OpenSSL 30 µs.
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
        """Decrypt what is in `incoming`. Returns whether that was the end: a close_notify, or a broken record."""
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
            return self._flush_post_handshake()
        except SSLZeroReturnError:
            return True
        except SSLError as error:
            # A record was changed on its way: nothing of it is handed on. OpenSSL has written the alert.
            texts.clear()
            self.stage = TLS_SHUT
            self._flush()
            self.on_broken(error)
            return True

    cdef int _encrypt(self, data) except -1:
        cdef Py_ssize_t size = len(data)
        cdef Py_ssize_t at = 0
        cdef list records
        try:
            if size <= TLS_RECORD_MAX:
                self.write_record(data)
            else:
                data = memoryview(data)
                while at < size:
                    records = []
                    while at < size and PyList_GET_SIZE(records) < TLS_RECORDS_PER_WRITE:
                        # A memory BIO never shrinks, so it gets one record at a time.
                        at += self.write_record(data[at : at + TLS_RECORD_MAX])
                        records.append(self.outgoing.read())
                    self.write_out(b"".join(records))
                return 0
        except SSLError:
            # The peer has ended the connection with an alert.
            self.abort()
            return 0
        return self._flush()

    cdef bint _flush_post_handshake(self) except -1:
        """Write what OpenSSL sends by itself (responses to key updates), up to a bound for a peer that does not read.

        Returns whether that was the end of the connection.
        """
        self.post_handshake += self.outgoing.pending
        if self.is_write_paused and self.post_handshake > TLS_POST_HANDSHAKE_MAX:
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
        """The peer has ended its side. Returns whether there is still something to write."""
        if not self.has_end:
            self.has_end = True
            if not self.owner.eof_received():
                self._write_close_notify()
                return False
        return True

    cdef int _write_close_notify(self) except -1:
        if self.stage != TLS_OPEN:
            return 0
        self.stage = TLS_SHUT
        try:
            self.tls.unwrap()
        except SSLError:
            # OpenSSL wants to wait for the peer's close_notify.
            pass
        return self._flush()

    cdef int _discard(self, bytes data) except -1:
        """Discard bytes after the close_notify of either side; abort if the peer sends too many."""
        self.discarded += PyBytes_GET_SIZE(data)
        if self.discarded > DISCARD_MAX:
            self.abort()
        return 0
