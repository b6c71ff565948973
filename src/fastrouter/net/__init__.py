"""Addresses, networks, names and listening sockets."""
