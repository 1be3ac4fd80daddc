"""Who answers a call by gRPC, as it is said before its message is read."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from grpc import StatusCode
from opentelemetry.trace import NoOpTracer

from chatacter.chassis.auth import Keyring, Principal
from chatacter.chassis.drain import Drain
from chatacter.serving.grpc_calls import Calls
from chatacter.serving.grpc_door import SERVICE, Door, House, Porter
from chatacter.serving.protocol import Models
from chatacter.serving.settings import PredictorSettings

pytestmark = pytest.mark.unit


class Aborted(Exception):
    """What gRPC raises when a call is ended."""


class Call:
    """A call without metadata, as its answerer sees it."""

    def __init__(self) -> None:
        self.told: StatusCode | None = None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def abort(self, code: StatusCode, *_: Any) -> None:
        self.told = code
        raise Aborted


class Renewed(Keyring):
    """Keys that are read anew as soon as somebody was refused; then none is needed."""

    def identify(self, token: str | None) -> Principal:
        try:
            return super().identify(token)
        finally:
            self._required = False


async def nobody(_: Any) -> None:
    """Know no method."""


@pytest.fixture
def porter(tmp_path: Path) -> Porter:
    settings = PredictorSettings(chatacter_home=tmp_path)
    house = House(Models("vocalizr", "1", []), Renewed([], required=True), NoOpTracer(), settings)
    return Porter(Door(house, Calls(Drain(1), 1)))


async def test_who_was_refused_stays_so_though_the_keys_are_read_anew(porter: Porter) -> None:
    asked = SimpleNamespace(method=f"/{SERVICE}/ModelInfer", invocation_metadata=())
    answerer = await porter.intercept_service(nobody, asked)
    call = Call()
    with pytest.raises(Aborted):
        await answerer.stream_unary(None, call)
    assert call.told is StatusCode.UNAUTHENTICATED


async def test_what_nobody_knows_is_left_to_grpc(porter: Porter) -> None:
    asked = SimpleNamespace(method="/other.Service/ServerLive", invocation_metadata=())
    assert await porter.intercept_service(nobody, asked) is None
