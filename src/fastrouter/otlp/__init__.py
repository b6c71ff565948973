"""The router at a collector of OpenTelemetry: spans of requests on their way there."""
