"""The admin API: a process of its own, in which operators see the router, and through which they steer it."""
