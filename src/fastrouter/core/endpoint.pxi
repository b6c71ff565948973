# Endpoint: one backend address, with everything about it that a request needs rendered beforehand.

cdef class Endpoint:
    def __init__(self, str host, int port, *, str app_id="", str instance_id="", str instance_index=""):
        for name, text in (
            ("host", host), ("app_id", app_id), ("instance_id", instance_id), ("instance_index", instance_index)
        ):
            # These become header values: a line end in one would let a registration write headers of its own.
            if not text.isascii() or not all(c.isprintable() for c in text):
                raise ValueError(f"{name} must be printable ASCII, not {text!r}")
        if not 0 <= port <= 65535:
            raise ValueError(f"port must be 0..65535, not {port}")
        self.host = host
        self.port = port
        self.address = f"{host}:{port}"
        self.app_id = app_id
        self.instance_id = instance_id
        self.instance_index = instance_index
        self.headers = (
            f"X-Cf-Applicationid: {app_id}\r\n"
            f"X-Cf-Instanceid: {instance_id or self.address}\r\n"
            f"X-Cf-Instanceindex: {instance_index}\r\n"
        ).encode("ascii")
        self.log_address = self.address.encode("ascii")
        self.log_identity = b' app_id:%s app_index:%s instance_id:%s' % (
            quoted_or_dash(app_id.encode("ascii")),
            quoted_or_dash(instance_index.encode("ascii")),
            quoted_or_dash(instance_id.encode("ascii")),
        )
        self.connections = ConnectionPool()

    def __repr__(self):
        return f"<Endpoint {self.address} in_flight={self.in_flight}>"
