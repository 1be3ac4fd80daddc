"""OpenTelemetry: traces, metrics and logs of one process, by OTLP where an endpoint is set, metrics also at `/metrics`.

Providers are handed around, never registered globally, so that several services can live in one test process.
"""

import logging
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.metrics import Meter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, StatusCode, Tracer
from prometheus_client import CollectorRegistry

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.settings import ServiceSettings, ask_for_stable_http_names, pairs

SCOPE = "chatacter"
FAREWELL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The providers of one service."""

    tracers: TracerProvider
    meters: MeterProvider
    loggers: LoggerProvider | None
    registry: CollectorRegistry
    log_handler: logging.Handler | None

    @property
    def tracer(self) -> Tracer:
        """Where spans are started."""
        return self.tracers.get_tracer(SCOPE)

    @property
    def meter(self) -> Meter:
        """Where instruments are made."""
        return self.meters.get_meter(SCOPE)

    def close(self) -> None:
        """Send what is still held back, then stop. Blocks: call it off the event loop.

        A collector that does not answer holds nobody up: each exporter would try for ten seconds and more, and the
        process would be killed meanwhile.
        """
        if self.log_handler is not None:
            logging.getLogger().removeHandler(self.log_handler)
        ends = [self.tracers.shutdown, self.meters.shutdown, *([self.loggers.shutdown] if self.loggers else [])]
        ending = [threading.Thread(target=end, name="last telemetry", daemon=True) for end in ends]
        for thread in ending:
            thread.start()
        deadline = Deadline.after(FAREWELL_SECONDS)
        for thread in ending:
            thread.join(deadline.remaining)


def telemetry_of(service: str, settings: ServiceSettings) -> Telemetry:
    """Build the providers that the settings ask for. Without an endpoint nothing leaves the process."""
    ask_for_stable_http_names()
    attributes = {
        SERVICE_NAME: settings.otel_service_name or service,
        SERVICE_INSTANCE_ID: socket.gethostname(),  # two replicas that push would else be one series
        **pairs(settings.otel_resource_attributes),
    }
    resource = Resource.create(attributes)
    endpoint = (settings.otel_exporter_otlp_endpoint or "").rstrip("/")
    headers = pairs(settings.otel_exporter_otlp_headers)
    registry = CollectorRegistry()
    readers: list[MetricReader] = [PrometheusMetricReader(registry=registry)] if settings.enable_metrics else []
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    loggers: LoggerProvider | None = None
    handler: logging.Handler | None = None
    if endpoint:
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces", headers=headers)))
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics", headers=headers)))
        loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPLogExporter(f"{endpoint}/v1/logs", headers=headers)
        loggers.add_log_record_processor(BatchLogRecordProcessor(exporter))
        handler = LoggingHandler(level=logging.getLevelNamesMapping()[settings.log_level], logger_provider=loggers)
        logging.getLogger().addHandler(handler)
    meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    return Telemetry(tracers=tracers, meters=meters, loggers=loggers, registry=registry, log_handler=handler)


@contextmanager
def wordless(tracer: Tracer, name: str, **how: Any) -> Iterator[Span]:
    """Start a span that tells an exception's class and not its text, which may be the user's; `how` as its tracer."""
    with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False, **how) as span:
        try:
            yield span
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def outgoing_headers(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return headers for a call to another process: the W3C trace context of the current span, and `extra`."""
    headers = dict(extra or {})
    propagate.inject(headers)
    return headers


def carry() -> dict[str, str]:
    """Write the current trace context down, to be stored beside work that somebody else takes up."""
    return outgoing_headers()


def linked(carrier: Mapping[str, str]) -> Sequence[trace.Link]:
    """Link to the trace context that `carry` wrote down; empty where there was none."""
    context = trace.get_current_span(propagate.extract(carrier)).get_span_context()
    return [trace.Link(context)] if context.is_valid else []
