"""An application of Ray Serve: Ray makes its replicas, so each asks for the licence before weights are fetched."""

from typing import Any

import pytest

from chatacter.chassis.errors import Misconfigured
from visualizr import rayservice as visualizr
from vocalizr import rayservice as vocalizr

pytestmark = pytest.mark.unit

RESTRICTED = {"VOCALIZR_MODEL": "xtts", "VOCALIZR_WEIGHTS": "xtts", "VISUALIZR_MODEL": "svd"}
ACCEPTED = "CPML,stable-video-diffusion-community"


@pytest.fixture(params=[vocalizr, visualizr], ids=["vocalizr", "visualizr"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in RESTRICTED.items():
        monkeypatch.setenv(name, value)
    return request.param


def test_no_replica_is_made_before_the_licence_is_accepted(service: Any) -> None:
    with pytest.raises(Misconfigured, match="ACCEPT_MODEL_LICENSES="):
        service.replica()


def test_ray_is_not_even_told_of_the_service(service: Any) -> None:
    with pytest.raises(Misconfigured, match="ACCEPT_MODEL_LICENSES="):
        service.application({})


def test_an_accepted_licence_lets_replicas_be_made(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPT_MODEL_LICENSES", ACCEPTED)
    assert service.replica().capabilities.licence.restriction
