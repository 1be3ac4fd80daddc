"""What a person reads in the log: the message and the facts that belong to it."""

import logging

import pytest

from chatacter.chassis.logs import TEXT, Told

pytestmark = pytest.mark.unit


def test_a_line_tells_its_facts() -> None:
    facts = {"model": "xtts", "device": "cuda", "trace_id": "0" * 32, "_stamp": 1}
    record = logging.getLogger("vocalizr").makeRecord(
        "vocalizr", logging.INFO, __file__, 1, "device chosen", (), None, extra=facts
    )
    assert Told(TEXT).format(record).endswith("INFO    vocalizr: device chosen (model=xtts, device=cuda)")


def test_a_line_without_facts_is_the_message_alone() -> None:
    record = logging.getLogger("vocalizr").makeRecord("vocalizr", logging.INFO, __file__, 1, "ready", (), None)
    assert Told(TEXT).format(record).endswith("INFO    vocalizr: ready")
