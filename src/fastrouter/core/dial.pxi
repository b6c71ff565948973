# Dial: how a BackendConnection comes to be, with or without TLS. The one place of the data plane that awaits.

class _Handshake(Protocol):
    """Holds a dialled connection until its TLS handshake takes it over."""

    has_spoken = False

    def data_received(self, data):
        # In TLS the client speaks first: whatever this is, it is something else.
        self.has_spoken = True


async def dial(BackendConnection connection):
    """Open `connection` to its endpoint; failures go to it as values. The only coroutine of the data plane."""
    cdef Endpoint endpoint = connection.endpoint
    cdef Settings settings = connection.tripper.settings
    loop = connection.tripper.loop
    host = endpoint.host
    # An endpoint without a name for its certificate is verified by its address (spec 5.6).
    name = endpoint.server_cert_domain_san or host
    transport = None
    try:
        if not endpoint.tls:
            await loop.create_connection(lambda: connection, host, endpoint.port)
            return
        transport, placeholder = await loop.create_connection(_Handshake, host, endpoint.port)
        connection.on_dialled(transport)
        if placeholder.has_spoken:
            failure = plain_answer()
        else:
            secured = await loop.start_tls(
                transport, connection, settings.backend_tls, server_hostname=name,
                ssl_handshake_timeout=settings.tls_handshake_timeout or None,
            )
            if connection.exchange is not None:
                connection.exchange.secured_ns = monotonic_ns()
            connection.connection_made(secured)
            return
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
            failure = Failure(FAILURE_DIAL, f"dial tcp {endpoint.address}: connect: {errno_text(error)}")
        else:
            failure = handshake_failure(connection, error)
    except CancelledError:
        if transport is not None:
            transport.abort()
        raise
    if transport is not None:
        transport.abort()
    if not connection.is_closed:
        connection.on_dial_failed(failure)


cdef Failure handshake_failure(BackendConnection connection, object error):
    """What ended a handshake without a word of TLS."""
    if isinstance(error, ConnectionAbortedError):
        return Failure(FAILURE_HANDSHAKE_TIMEOUT, "net/http: TLS handshake timeout")
    if isinstance(error, ConnectionResetError) and error.errno:
        return Failure(FAILURE_HANDSHAKE_RESET, f"read tcp {connection.ends()}: read: connection reset by peer")
    return Failure(FAILURE_INCOMPLETE, "EOF")
