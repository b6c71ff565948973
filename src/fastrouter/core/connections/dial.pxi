# Dial: how a DialledConnection comes to be. The one place of the data plane that awaits.

class _Blocked(Exception):
    """The operator blocks all addresses of a route service. The text is the first of them."""


cdef list allowed_addresses(list found, object is_blocked):
    """Those of some addresses that may be connected to. Raises _Blocked without any."""
    allowed = [address for address in found if not is_blocked(address)]
    if not allowed:
        raise _Blocked(found[0])
    return allowed


async def dial(DialledConnection connection):
    """Open `connection` to its endpoint; failures go to it as values. The only coroutine of the data plane."""
    cdef Endpoint endpoint = connection.endpoint
    cdef Settings settings = connection.plane.settings
    loop = connection.plane.loop
    cdef RouteServices services = settings.route_services
    host = endpoint.host
    try:
        protocol = connection
        if endpoint.tls:
            protocol = BackendTLSTransport(
                connection, services.tls_of(endpoint) if endpoint.is_route_service else connection.tls_context()
            )
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
                await loop.create_connection(lambda: protocol, addresses.pop(0), endpoint.port)
                return
            except OSError:
                if not addresses:
                    raise
    except _Blocked as error:
        failure = Failure(FAILURE_DIAL, f"dial tcp {endpoint.address}: connection to {error} not allowed")
    except (gaierror, UnicodeError):
        # A name that nobody knows, or that no DNS name can be.
        failure = Failure(FAILURE_DIAL, f"dial tcp: lookup {host}: no such host")
    except OSError as error:
        failure = dial_failure(connection, error)
    except Exception as error:
        # No dial says this: it is a fault of ours.
        connection.on_panic(error)
        return
    if not connection.is_closed:
        connection.on_dial_failed(failure)


cdef Failure dial_failure(DialledConnection connection, object error):
    """What an OSError of a dial means."""
    cdef object number = error.errno
    if number in STARVED:
        connection.plane.on_starved_dial(number)
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
