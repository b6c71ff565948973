"""A worker: the process that carries traffic."""
