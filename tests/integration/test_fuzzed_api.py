"""Schemathesis sends what the OpenAPI documents allow, and what they forbid: never a 500, every error in its form."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.generation import GenerationMode

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

FUZZING = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# 499: a cancelled reply. 501: a door that is not built. 502–504: a predictor or provider that is away or failed.
EXPECTED_ABOVE_499 = frozenset({501, 502, 503, 504})


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    given = {
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": llm_server_of_this_run.url,
        "MODEL__NAME": "scripted",
        "VOCALIZR__URL": "http://127.0.0.1:9",
        "VISUALIZR__URL": "http://127.0.0.1:9",
        "RUN_DISPATCHER": "false",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_UI": "false",
    }
    with running("chattr", tmp_path_factory.mktemp("fuzzed"), given) as service:
        yield service


@pytest.fixture(scope="module")
def predictors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ServiceProcess]]:
    folder = tmp_path_factory.mktemp("fuzzed-predictors")
    with (
        running("vocalizr", folder, {"VOCALIZR_MODEL": "fake"}) as vocalizr,
        running("visualizr", folder, {"VISUALIZR_MODEL": "fake"}) as visualizr,
    ):
        yield {"vocalizr": vocalizr, "visualizr": visualizr}


def fuzz(service: ServiceProcess) -> None:
    """Send generated requests to every operation of a service; collect what it should not have answered."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    wrong: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        def answered(case: Case) -> None:
            mistake = judged(case.call(timeout=30))
            if mistake:
                wrong.append(f"{case.method} {case.formatted_path}: {mistake}")

        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                strategy = operation.as_strategy(generation_mode=mode)
                FUZZING(given(case=strategy)(answered))()
            except schemathesis.errors.InvalidSchema as error:
                wrong.append(f"{operation.label}: {error}")
    assert not wrong, "\n".join([*wrong[:20], service.written()[-3000:]])


def judged(response: Any) -> str | None:
    """Say what is wrong with an answer, if anything."""
    status = response.status_code
    if status >= 500 and status not in EXPECTED_ABOVE_499:
        return f"answered {status}"
    if status < 400:
        return None
    body = json.loads(response.content)
    told = body["error"]["message"] if "error" in body else body.get("detail")
    return None if told else f"answered {status} without a sentence"


def test_chattr_answers_whatever_comes(chattr: ServiceProcess) -> None:
    fuzz(chattr)
    assert chattr.process.poll() is None
    assert "unhandled error" not in chattr.written()


@pytest.mark.parametrize("name", ["vocalizr", "visualizr"])
def test_predictors_answer_whatever_comes(predictors: dict[str, ServiceProcess], name: str) -> None:
    fuzz(predictors[name])
    assert predictors[name].process.poll() is None
    assert "unhandled error" not in predictors[name].written()
