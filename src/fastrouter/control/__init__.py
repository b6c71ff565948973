"""The control process: composition of the router, start, drain, stop, workers, upgrade."""
