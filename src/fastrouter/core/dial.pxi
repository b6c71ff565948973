# Dial: how a BackendConnection comes to be, with or without TLS. The one place of the data plane that awaits.

class _Handshake(Protocol):
    """Holds a dialled connection until its TLS handshake takes it over."""

    has_spoken = False
    # What ended the connection already: nothing would ever come of a handshake over it.
    end = None

    def data_received(self, data):
        # In TLS the client speaks first: whatever this is, it is something else.
        self.has_spoken = True

    def eof_received(self):
        self.end = EOFError()

    def connection_lost(self, error):
        self.end = error or EOFError()


class _Blocked(Exception):
    """All addresses of a route service are where the operator lets nobody go. Its text is the first of them."""


cdef double NEVER_SECONDS = 1e6


cdef list allowed_addresses(list found, object is_blocked):
    """Those of some addresses that may be connected to. Raises _Blocked without any."""
    allowed = [address for address in found if not is_blocked(address)]
    if not allowed:
        raise _Blocked(found[0])
    return allowed


async def dial(BackendConnection connection):
    """Open `connection` to its endpoint; failures go to it as values. The only coroutine of the data plane."""
    cdef Endpoint endpoint = connection.endpoint
    cdef Settings settings = connection.tripper.settings
    loop = connection.tripper.loop
    cdef RouteServices services = settings.route_services
    host = endpoint.host
    # An endpoint without a name for its certificate is verified by its address (spec 5.6).
    name = endpoint.server_cert_domain_san or host
    transport = None
    try:
        is_limited = endpoint.is_route_service and services.is_blocked is not None and endpoint is not services.hairpin
        if settings.resolve is not None:
            addresses = list(await settings.resolve(host))
        elif is_limited:
            found = await loop.getaddrinfo(host, endpoint.port, type=SOCK_STREAM)
            addresses = [address[0] for _, _, _, _, address in found]
        else:
            addresses = [host]
        if is_limited:
            addresses = allowed_addresses(addresses, services.is_blocked)
        while True:
            try:
                transport, placeholder = await loop.create_connection(
                    _Handshake if endpoint.tls else lambda: connection, addresses.pop(0), endpoint.port
                )
                break
            except OSError:
                if not addresses:
                    raise
        if not endpoint.tls:
            return
        connection.on_dialled(transport)
        connection.arm(connection.tripper.handshakes)
        if placeholder.has_spoken:
            failure = plain_answer()
        elif placeholder.end is not None:
            failure = handshake_failure(connection, placeholder.end)
        else:
            secured = await loop.start_tls(
                transport, connection, services.tls_of(endpoint) if endpoint.is_route_service else settings.backend_tls,
                server_hostname=name,
                # The loop's own limit fires before it looks at the socket; `handshakes` holds ours.
                ssl_handshake_timeout=NEVER_SECONDS,
            )
            if connection.exchange is not None:
                connection.exchange.secured_ns = monotonic_ns()
            connection.connection_made(secured)
            return
    except _Blocked as error:
        failure = Failure(FAILURE_DIAL, f"dial tcp {endpoint.address}: connection to {error} not allowed")
    except gaierror:
        failure = Failure(FAILURE_DIAL, f"dial tcp: lookup {host}: no such host")
    except SSLError as error:
        failure = tls_failure(error, name)
    except UnicodeError:
        # A name that no DNS name can be, and that no certificate can have.
        if transport is None:
            failure = Failure(FAILURE_DIAL, f"dial tcp: lookup {host}: no such host")
        else:
            failure = Failure(
                FAILURE_HOSTNAME_MISMATCH,
                f"tls: failed to verify certificate: x509: certificate is valid for other names, not {name}",
            )
    except OSError as error:
        if transport is None:
            failure = dial_failure(connection, error)
        else:
            failure = handshake_failure(connection, error)
    except CancelledError:
        if transport is not None:
            transport.abort()
        raise
    except Exception as error:
        # Neither dial nor handshake says this: it is a fault of ours.
        if connection.exchange is not None:
            respond_panic(connection.exchange, error)
        else:
            tell_of_panic(connection.tripper, error)
        if transport is not None:
            transport.abort()
        return
    if transport is not None:
        transport.abort()
    if not connection.is_closed:
        connection.on_dial_failed(failure)


cdef Failure dial_failure(BackendConnection connection, object error):
    """What an OSError of a dial means."""
    cdef object number = error.errno
    if number in STARVED:
        connection.tripper.on_starved_dial(number)
        return Failure(FAILURE_STARVED, f"dial tcp {connection.endpoint.address}: {errno_text(error)}")
    return Failure(FAILURE_DIAL, f"dial tcp {connection.endpoint.address}: connect: {errno_text(error)}")


cdef int probe_peer(object sock, double interval) except -1:
    """K07: probe an idle connection every `interval` seconds, as Go's KeepAlive does; 0 and less: never."""
    if interval > 0:
        seconds = max(1, int(interval))
        sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        sock.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, seconds)
        sock.setsockopt(IPPROTO_TCP, TCP_KEEPINTVL, seconds)
    return 0


cdef Failure handshake_failure(BackendConnection connection, object error):
    """What ended a handshake without a word of TLS."""
    if isinstance(error, ConnectionResetError) and error.errno:
        return Failure(FAILURE_HANDSHAKE_RESET, f"read tcp {connection.ends()}: read: connection reset by peer")
    return Failure(FAILURE_INCOMPLETE, "EOF")
