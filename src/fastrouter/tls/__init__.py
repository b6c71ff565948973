"""TLS: certificates, contexts of listeners and of connections to backends, session tickets."""
