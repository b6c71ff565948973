"""The router on NATS: the connection, registrations that arrive, messages that are sent."""
