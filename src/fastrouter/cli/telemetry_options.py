"""From the configuration to the options of what others are told of requests: the Loggregator agent, a collector."""

import socket
from dataclasses import replace

from fastrouter import __version__
from fastrouter.config import Config
from fastrouter.control.options import RouterOptions
from fastrouter.metron.options import AgentOptions
from fastrouter.otlp.options import ExportOptions


def with_metron(options: RouterOptions, config: Config) -> RouterOptions:
    """Return the options with what the Loggregator agent is told, where there is one."""
    from fastrouter.metron.envelopes import envelope_tags  # noqa: PLC0415 20 ms, for those who have an agent

    sends_events = config.send_http_start_stop_server_event or config.logging.loggregator_enabled
    return replace(
        options,
        metron=AgentOptions(
            address=config.logging.metron_address,
            index=config.index,
            registration_muzzle=config.route_latency_metric_muzzle_duration.seconds,
            sends_values=config.per_request_metrics_reporting,
            sends_server_events=config.send_http_start_stop_server_event,
            sends_client_events=config.send_http_start_stop_client_event,
            has_records=config.logging.loggregator_enabled,
        ),
        # No other envelope has tags.
        registry={**options.registry, "encode_tags": envelope_tags} if sends_events else options.registry,
    )


def with_export(options: RouterOptions, config: Config) -> RouterOptions:
    """Return the options with the export of spans, where there is a collector."""
    otlp = config.tracing.otlp
    attributes = {
        "service.name": otlp.service_name,
        "service.version": __version__,
        "service.instance.id": str(config.index),
        "host.name": socket.gethostname(),
        **({"cloud.availability_zone": config.zone} if config.zone else {}),
    }
    export = ExportOptions(
        url=otlp.endpoint,
        headers=tuple((header.name, header.value) for header in otlp.headers),
        ca_certs=otlp.ca_certs,
        ratio=otlp.sample_ratio,
        attributes=tuple(attributes.items()),
        **otlp.whole(),
    )
    return replace(options, export=export)
