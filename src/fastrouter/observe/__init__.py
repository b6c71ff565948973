"""What the router shows of itself: health, routes, metrics, `/varz`, debug."""
