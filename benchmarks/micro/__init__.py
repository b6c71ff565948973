"""Costs of single functions of the data plane, without sockets; run with pytest-benchmark."""
