"""An OTLP/HTTP collector in this process: what services export is kept and can be waited for."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True, slots=True)
class Span:
    """One exported span; ids in hex."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    resource: dict[str, str] = field(default_factory=dict)
    failed: bool = False
    written: str = ""


@dataclass
class Collected:
    """What has arrived so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    logs: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, enough: Callable[["Collected"], bool], seconds: float = 30.0) -> None:
        """Wait until what has arrived is enough. Raises `TimeoutError` with the names of the spans."""
        until = time.monotonic() + seconds
        with self.changed:
            while not enough(self):
                if not self.changed.wait(until - time.monotonic()):
                    raise TimeoutError(sorted({f"{span.service}: {span.name}" for span in self.spans}))

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]


def take_traces(into: Collected, body: bytes) -> None:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {a.key: a.value.string_value for a in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
                links = tuple(link.trace_id.hex() for link in span.links)
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                told = (about, span.status.code == Status.STATUS_CODE_ERROR, str(span))
                into.spans.append(Span(about["service.name"], span.name, *ids, links, attributes, *told))


def take_metrics(into: Collected, body: bytes) -> None:
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        into.metrics |= {metric.name for scope in resource.scope_metrics for metric in scope.metrics}


def take_logs(into: Collected, body: bytes) -> None:
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        into.logs += [record.body.string_value for scope in resource.scope_logs for record in scope.log_records]


TAKERS = {"/v1/traces": take_traces, "/v1/metrics": take_metrics, "/v1/logs": take_logs}


@contextmanager
def collecting() -> Iterator[Collected]:
    """Run a collector on a free port of loopback."""
    collected = Collected()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            with collected.changed:
                TAKERS[self.path](collected, body)
                collected.changed.notify_all()
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collected.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collected
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
