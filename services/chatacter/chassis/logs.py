"""Logs to stdout, as text or JSON. Messages are static; what users write never enters one."""

import logging
import sys
from typing import Final

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

from chatacter.chassis.settings import ServiceSettings

TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
JSON: Final = "%(levelname)s %(name)s %(message)s"
RENAMED: Final = {"levelname": "severity_text", "name": "logger", "message": "body"}
# What every record has, and what leads to its trace: no facts of a message of its own.
USUAL: Final = frozenset(
    (*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "trace_id", "span_id", "color_message")
)
CHATTY: Final = ("httpx", "httpcore", "httpx2", "asyncio", "openai", "fsspec", "kserve", "uvicorn.access")


class TraceContext(logging.Filter):
    """Adds the current trace to every record, so that a line leads to its trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, with `trace_id` and `span_id` where a span is current."""
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            record.trace_id = format(context.trace_id, "032x")
            record.span_id = format(context.span_id, "016x")
        return True


class Told(logging.Formatter):
    """A line for people: the message, and behind it the facts that belong to it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging calls it so
        """Write `message (name=value, …)`."""
        # What begins with an underscore is some library's own, as Ray's time of each record.
        told = {name: value for name, value in vars(record).items() if name not in USUAL and not name.startswith("_")}
        facts = ", ".join(f"{name}={value}" for name, value in told.items())
        line = super().formatMessage(record)
        return f"{line} ({facts})" if facts else line


def configure(settings: ServiceSettings) -> None:
    """Point the root logger at stdout in the form asked for. Called once, by the process that owns stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(TraceContext())
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter(JSON, rename_fields=RENAMED, timestamp="timestamp"))
    else:
        handler.setFormatter(Told(TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[settings.log_level]))
