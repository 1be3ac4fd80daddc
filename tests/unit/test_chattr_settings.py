"""Settings that contradict each other are told at start, with what to change."""

import pytest
from pydantic import SecretStr

from chattr.settings import ChattrSettings, ModelSettings

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        (ModelSettings(api_key=SecretStr("key")), "MODEL__URL"),
        (ModelSettings(url="http://localhost:1234/v1"), "MODEL__NAME"),
        (ModelSettings(alternatives=("small", "large")), "MODEL__URL"),
    ],
)
def test_half_a_provider_says_which_setting_is_missing(
    model: ModelSettings, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ChattrSettings.read(model=model)
    told = capsys.readouterr().err
    assert f"without {missing}" in told
    assert "key" not in told.replace("MODEL__API_KEY", "")


@pytest.mark.parametrize(
    "model",
    [
        ModelSettings(),
        ModelSettings(name="smollm2-135m-instruct"),
        ModelSettings(url="http://localhost:1/v1", name="x"),
    ],
)
def test_the_embedded_model_and_a_local_server_need_no_key(model: ModelSettings) -> None:
    assert ChattrSettings.read(model=model).model == model
