"""The router at the routing API: tokens for it, its list of routes, and the events that change it."""
