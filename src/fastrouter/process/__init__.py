"""What a process asks of its system: signals, credentials, memory, a turn on the event loop."""
