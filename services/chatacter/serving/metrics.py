"""What a predictor tells about its work: how many jobs run and wait, and how long they take.

`gen_ai.server.request.duration` is OpenTelemetry's name (semantic conventions for generative AI, metrics); the
conventions have none for jobs running and waiting, so those two names are ours.
"""

from collections.abc import Iterable
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from chatacter.serving.gate import Gate

# The conventions' own boundaries, and two more for films.
BOUNDARIES: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
    163.84,
    600.0,
)


def measured_gate(meter: Meter, *, model: str, operation: str, concurrency: int, queue: int) -> Gate:
    """Make a gate whose jobs are counted: `chatacter.inference.running`, `.waiting`, and their durations."""
    attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "chatacter",
        "gen_ai.request.model": model,
    }
    durations = meter.create_histogram(
        "gen_ai.server.request.duration",
        unit="s",
        description="Seconds from a job's place at the model to its end",
        explicit_bucket_boundaries_advisory=BOUNDARIES,
    )
    gate = Gate(concurrency, queue, lambda seconds: durations.record(seconds, attributes))

    def running(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(gate.running, attributes)

    def waiting(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(gate.waiting, attributes)

    meter.create_observable_gauge("chatacter.inference.running", [running], description="Jobs at the model")
    meter.create_observable_gauge("chatacter.inference.waiting", [waiting], description="Jobs in the queue before it")
    return gate
