"""The process log, and where the lines of the access log go."""
