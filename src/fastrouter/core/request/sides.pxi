# Sides: what an exchange knows of its client and of its backend.
#
# Whoever carries an exchange on a connection subclasses these: a connection of HTTP/1 has one side, which serves one exchange
# after the other. A call is one look into a C table of methods (docs/adr/0010-an-exchange-between-two-sides.md).

@cython.final
@cython.no_gc
cdef class ClientIdentity:
    """What a client's connection has shown of it: address, port, certificate."""

    cdef int set_address(self, bytes ip, int port) except -1:
        """Set the address that a PROXY header has given."""
        if ip.startswith(b"::ffff:") and b"." in ip:
            # An IPv4 client of a dual-stack socket, by the name Go gives it.
            ip = ip[7:]
        self.ip = ip
        self.address = (b"[%s]:%d" if b":" in ip else b"%s:%d") % (ip, port)
        return 0

    cdef bint learn_address(self, object transport) except -1:
        """Take the address that `transport` has, unless a PROXY header has said another. False: the client has left already."""
        cdef object peer = transport.get_extra_info("peername")
        if peer is None:
            return False
        if self.ip is None:
            self.set_address(peer[0].encode("ascii"), peer[1])
        return True

    cdef int set_secured(self, bytes certificate) except -1:
        """TLS has been agreed on; `certificate`: the client's, DER, verified; None if it has shown none."""
        self.is_tls = True
        self.certificate = certificate
        return 0

    cdef int set_domain(self, MutualTLSDomain domain, bytes server_name) except -1:
        """It has asked for `server_name`; its certificate was verified by the CAs of `domain`, None: of no domain."""
        self.domain = domain
        self.server_name = server_name
        if domain is not None:
            self.caller = domain.caller_of(self.certificate)
            if domain.forwarded_client_cert == "sanitize_set":
                self.forwarded = domain.render(self.certificate)
        return 0


cdef class ClientSide:
    """The way to the client. After the exchange has finished every call does nothing or ends the connection."""

    def __cinit__(self, ClientIdentity identity, *_):
        self.identity = identity

    cdef int write_rendered(self) except -1:
        """End the message under construction and write it: a head, a piece of body, or both."""
        raise AssertionError("a ClientSide class defines write_rendered")

    cdef int write(self, object data) except -1:
        """Write bytes, or a memoryview of some, behind that."""
        raise AssertionError("a ClientSide class defines write")

    cdef int write_parts(self, list parts) except -1:
        """Write pieces without copying them together."""
        raise AssertionError("a ClientSide class defines write_parts")

    cdef int pause(self) except -1:
        """The exchange can take no more of the request for now."""
        raise AssertionError("a ClientSide class defines pause")

    cdef int resume(self) except -1:
        """The exchange can take more of the request again. What was received meanwhile may be handed over before this returns."""
        raise AssertionError("a ClientSide class defines resume")

    cdef int finish(self, bint is_last) except -1:
        """The exchange is over. `is_last`: so is the connection, once everything written is out."""
        raise AssertionError("a ClientSide class defines finish")

    cdef int break_off(self, bint needs_reset) except -1:
        """End the response so that the client can tell it is not whole; `needs_reset`: a plain end would look like its end."""
        raise AssertionError("a ClientSide class defines break_off")

    cdef int close(self) except -1:
        """End once everything written is out."""
        raise AssertionError("a ClientSide class defines close")

    cdef bint serves(self, Exchange exchange) noexcept:
        """Whether `exchange` is what its client waits for."""
        return False

    cdef int abort(self) except -1:
        """Let go of the exchange and end it now: there is no response, or no more of it."""
        raise AssertionError("a ClientSide class defines abort")

    # --- for a tunnel

    cdef bytes begin_tunnel(self, Tunnel tunnel):
        """From now on what is received goes to `tunnel`. Returns what has been already."""
        raise AssertionError("a ClientSide class defines begin_tunnel")

    cdef bint take_end(self) noexcept:
        """Whether the client has sent its last byte before the tunnel began, which would not be told of otherwise."""
        raise AssertionError("a ClientSide class defines take_end")

    cdef bint is_full(self) noexcept:
        """Whether the client does not take what is written as fast as it comes."""
        raise AssertionError("a ClientSide class defines is_full")

    cdef bint can_half_close(self) except -1:
        """Whether the client can be told that nothing more comes, and send on."""
        raise AssertionError("a ClientSide class defines can_half_close")

    cdef int half_close(self) except -1:
        raise AssertionError("a ClientSide class defines half_close")

    cdef int watch_silence(self) except -1:
        """Begin the wait for either side of the tunnel to say something anew."""
        raise AssertionError("a ClientSide class defines watch_silence")


cdef class BackendSide:
    """The way to the backend of an attempt. It is not called again once it has let go of the exchange, or was told to."""

    cdef int serve(self, Exchange exchange) except -1:
        """Carry `exchange`: `on_backend_ready` comes at once, or when the backend is connected."""
        raise AssertionError("a BackendSide class defines serve")

    cdef int write_rendered(self) except -1:
        """End the message under construction and write it: the head of the request."""
        raise AssertionError("a BackendSide class defines write_rendered")

    cdef int write(self, bytes data) except -1:
        """Write bytes behind that, or head and body in one."""
        raise AssertionError("a BackendSide class defines write")

    cdef int pause(self) except -1:
        """The client does not take the response as fast as it comes."""
        raise AssertionError("a BackendSide class defines pause")

    cdef int resume(self) except -1:
        raise AssertionError("a BackendSide class defines resume")

    cdef bint is_full(self) noexcept:
        """Whether the backend does not take what is written as fast as it comes."""
        raise AssertionError("a BackendSide class defines is_full")

    cdef bint was_used(self) noexcept:
        """Whether its connection has served an exchange before this one."""
        raise AssertionError("a BackendSide class defines was_used")

    cdef str local_address(self):
        """ip:port of our end."""
        raise AssertionError("a BackendSide class defines local_address")

    cdef int64_t missing(self) noexcept:
        """Bytes of body that the response has announced and not brought yet, -1 where it has announced no length."""
        raise AssertionError("a BackendSide class defines missing")

    cdef int release(self) except -1:
        """Let go of the exchange, which is complete in both directions."""
        raise AssertionError("a BackendSide class defines release")

    cdef int close(self) except -1:
        """Let go of the exchange, and end once everything written is out."""
        raise AssertionError("a BackendSide class defines close")

    cdef int abort(self) except -1:
        """Let go of the exchange in the middle: the backend must not take the request for complete."""
        raise AssertionError("a BackendSide class defines abort")

    # --- for a tunnel

    cdef int begin_tunnel(self, Tunnel tunnel) except -1:
        """From now on what is received goes to `tunnel`."""
        raise AssertionError("a BackendSide class defines begin_tunnel")

    cdef bint can_half_close(self) except -1:
        raise AssertionError("a BackendSide class defines can_half_close")

    cdef int half_close(self) except -1:
        raise AssertionError("a BackendSide class defines half_close")
