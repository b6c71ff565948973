"""The router at the Loggregator agent, metron: envelopes with its counters and values, and where they go."""
