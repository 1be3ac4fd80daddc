"""What a predictor tells about its work: how many jobs run and wait, and how long they take.

`gen_ai.server.request.duration` is OpenTelemetry's name (semantic conventions for generative AI, metrics); the
conventions have none for jobs running and waiting, nor for batches: those names are ours.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from chatacter.serving.batching import Batch
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


def measured_gates(meter: Meter, operation: str, gates: Mapping[str, tuple[int, int]]) -> Mapping[str, Gate]:
    """Make a gate for each model, of its concurrency and queue.

    Jobs are counted as `chatacter.inference.running`, `.waiting`, and their durations measured.
    """
    durations = meter.create_histogram(
        "gen_ai.server.request.duration",
        unit="s",
        description="Seconds from a job's place at the model to its end",
        explicit_bucket_boundaries_advisory=BOUNDARIES,
    )
    attributes = {model: attributes_of(model, operation) for model in gates}

    def made(model: str, concurrency: int, queue: int) -> Gate:
        return Gate(concurrency, queue, lambda seconds: durations.record(seconds, attributes[model]))

    opened = {model: made(model, *size) for model, size in gates.items()}

    def running(_: CallbackOptions) -> Iterable[Observation]:
        yield from (Observation(gate.running, attributes[model]) for model, gate in opened.items())

    def waiting(_: CallbackOptions) -> Iterable[Observation]:
        yield from (Observation(gate.waiting, attributes[model]) for model, gate in opened.items())

    meter.create_observable_gauge("chatacter.inference.running", [running], description="Jobs at the model")
    meter.create_observable_gauge("chatacter.inference.waiting", [waiting], description="Jobs in the queue before it")
    return opened


def measured_batches(meter: Meter, *, model: str, operation: str) -> Callable[[Batch], None]:
    """Measure batches: `chatacter.inference.batch.size`, `.padding` (a share of the work), `.wait` of each piece."""
    attributes = attributes_of(model, operation)
    sizes = meter.create_histogram(
        "chatacter.inference.batch.size",
        unit="{piece}",
        description="Pieces of requests that were done in one go",
        explicit_bucket_boundaries_advisory=(1, 2, 4, 8, 16, 32, 64),
    )
    padding = meter.create_histogram(
        "chatacter.inference.batch.padding",
        unit="1",
        description="Share of a batch's work that was padding, and for nothing",
        explicit_bucket_boundaries_advisory=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
    )
    waits = meter.create_histogram(
        "chatacter.inference.batch.wait",
        unit="s",
        description="Seconds that a piece waited for its batch to begin",
        explicit_bucket_boundaries_advisory=(0.001, *BOUNDARIES),
    )

    def told(batch: Batch) -> None:
        sizes.record(batch.pieces, attributes)
        padding.record(batch.padding, attributes)
        for wait in batch.waits:
            waits.record(wait, attributes)

    return told


def attributes_of(model: str, operation: str) -> dict[str, str]:
    """What every measurement of one model's work carries."""
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "chatacter",
        "gen_ai.request.model": model,
    }
