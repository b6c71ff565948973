"""End-to-end measurements over real sockets; each runnable with `python -m benchmarks.load.<name>`."""
