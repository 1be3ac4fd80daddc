"""Where predictors answer, as the environment says it: JSON that is right is obeyed, all else is a sentence."""

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chattr.settings import ChattrSettings

pytestmark = pytest.mark.unit

SIGNS = string.ascii_letters + string.digits
MODELS = st.builds(
    lambda first, rest: first + rest, st.sampled_from(SIGNS), st.text(SIGNS + "._-", max_size=30)
).filter(lambda name: name != "kokoro")
HOSTS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
PORTS = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
PREFIXES = st.lists(st.text(SIGNS, min_size=1, max_size=6), max_size=3).map(
    lambda parts: "".join(f"/{p}" for p in parts)
)
URLS = st.builds(
    lambda scheme, host, port, path: f"{scheme}://{host}{port}{path}",
    st.sampled_from(["http", "https"]),
    HOSTS | st.just("svd-predictor.chat.svc.cluster.local") | st.just("[::1]"),
    PORTS,
    PREFIXES,
)


def told(capsys: pytest.CaptureFixture[str], name: str, value: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        with pytest.raises(SystemExit):
            ChattrSettings.read()
    return capsys.readouterr().err


def read(name: str, value: str) -> ChattrSettings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        return ChattrSettings.read()


@pytest.mark.parametrize("section", ["vocalizr", "visualizr"])
@settings(deadline=None)
@given(urls=st.dictionaries(MODELS, URLS, max_size=5), slash=st.sampled_from(["", "/"]))
def test_what_is_right_is_obeyed(section: str, urls: dict[str, str], slash: str) -> None:
    given = json.dumps({model: url + slash for model, url in urls.items()})
    assert getattr(read(f"{section.upper()}__URLS", given), section).urls == urls


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.from_regex(r"[\[{].*[\]}]"))
def test_whatever_is_written_is_obeyed_or_told_by_name(text: str) -> None:
    text = text.replace("\0", "")
    found: object
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISUALIZR__URLS", text)
        try:
            found = ChattrSettings().visualizr.urls
        except ValidationError as error:
            found = [mistake["loc"] for mistake in error.errors()]
    assert found in ([("visualizr", "urls")], parsed(text))


def parsed(text: str) -> object:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{", "must be a JSON object"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("svd=http://svd", "must be a JSON object"),
        ("[" * 100_000, "must be a JSON object"),
        ('{"svd": "http://a", "xl": "http://b", "svd": "http://a"}', "svd more than once; a model has one predictor"),
        ('{"svd": "svd:8002"}', "address of svd must be an http:// or https:// address"),
        ('{"svd": 8002}', "address of svd must be"),
        ('{"svd": "ftp://svd"}', "address of svd must be"),
        ('{"svd": "http://"}', "address of svd must be"),
        ('{"svd": "http://svd:99999"}', "address of svd must be"),
        ('{"svd": "http://u:s3cret@svd"}', "without user"),
        ('{"svd": "http://svd?x=s3cret"}', "without user"),
        ('{"svd": "http://svd/\\n"}', "address of svd must be"),
        ('{"": "http://svd"}', "a model id that is none"),
        ('{"a/b": "http://svd"}', "a model id that is none"),
    ],
)
def test_what_is_wrong_is_a_sentence(value: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = told(capsys, "VISUALIZR__URLS", value)
    assert error.startswith("VISUALIZR__URLS: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert "s3cret" not in error


@pytest.mark.parametrize("name", ["VOCALIZR__URL", "VISUALIZR__URL"])
def test_a_single_address_is_checked_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "must be an http:// or https:// address" in told(capsys, name, "localhost:8001")
    section = read(name, "https://models.example/speech/").model_dump()[name.partition("__")[0].lower()]
    assert section["url"] == "https://models.example/speech"


def test_a_section_that_is_no_json_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert "vocalizr" in told(capsys, "VOCALIZR", '{"url": "s3cret')
    assert "s3cret" not in told(capsys, "VOCALIZR", '{"url": "s3cret')


@pytest.mark.parametrize("other", [("VOCALIZR__URLS", '{"twin": "http://b"}'), ("VOCALIZR__MODEL", "twin")])
def test_a_model_has_one_predictor(other: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*other)
        assert "names twin, which VOCALIZR__URLS or VOCALIZR__MODEL" in told(
            capsys, "VISUALIZR__URLS", '{"twin": "http://a", "svd": "http://a"}'
        )


def test_one_predictor_may_serve_two_models_and_the_default_may_be_named() -> None:
    urls = '{"svd": "http://a", "animatediff": "http://a/", "portrait": "http://localhost:8002"}'
    video = read("VISUALIZR__URLS", urls).visualizr
    assert video.urls == {"svd": "http://a", "animatediff": "http://a", "portrait": video.url}
