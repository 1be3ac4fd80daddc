"""What is known of Coqui's models and of Bark's voices without PyTorch: configurations, licences, folders."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chatacter.chassis.errors import Misconfigured
from vocalizr.backends.bark import presets
from vocalizr.backends.coqui import published, sheet
from vocalizr.backends.coqui.backend import CoquiSpeech, create, create_xtts
from vocalizr.backends.pytorch.weights import place
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.unit

VITS: dict[str, Any] = {"model": "vits", "audio": {"sample_rate": 22050}}


def written(folder: Path, config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("more", "tags"),
    [
        ({"languages": ["en", "zh-cn", "pt-br"]}, ["en", "zh-CN", "pt-BR"]),
        ({"datasets": [{"language": "de"}, {"language": "de"}]}, ["de"]),
        ({"phoneme_language": "fr-fr"}, ["fr-FR"]),
        ({}, ["en"]),
    ],
)
def test_languages_are_bcp_47(tmp_path: Path, more: dict[str, Any], tags: list[str]) -> None:
    assert list(sheet.read(written(tmp_path, VITS | more)).languages) == tags


def test_a_language_that_cannot_be_spelled_here_is_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "SPELLERS", {"ja": "no_such_package"})
    config = {"model": "xtts", "audio": {"sample_rate": 22050, "output_sample_rate": 24000}, "languages": ["en", "ja"]}
    told = sheet.read(written(tmp_path, config))
    assert (list(told.languages), told.rate, told.streams) == (["en"], 24000, True)


def test_what_writes_phonemes_is_told(tmp_path: Path) -> None:
    assert not sheet.read(written(tmp_path, VITS)).needs_espeak
    assert not sheet.read(written(tmp_path, VITS | {"use_phonemes": True, "phonemizer": "gruut"})).needs_espeak
    assert sheet.read(written(tmp_path, VITS | {"use_phonemes": True, "phonemizer": "espeak"})).needs_espeak
    assert sheet.read(written(tmp_path, VITS | {"use_phonemes": True})).needs_espeak


@pytest.mark.parametrize("config", [[], {}, {"model": "vits"}, {"model": "vits", "audio": {}}])
def test_another_file_of_this_name_is_no_model(tmp_path: Path, config: Any) -> None:
    with pytest.raises(Misconfigured, match="no configuration"):
        sheet.read(written(tmp_path, config))


def test_coquis_own_bark_says_what_takes_its_place(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="VOCALIZR_MODEL=bark"):
        sheet.read(written(tmp_path, {"model": "bark", "audio": {"sample_rate": 24000}}))


@pytest.mark.parametrize(
    ("name", "licence", "restricted"),
    [
        (published.XTTS, "CPML", True),
        ("tts_models--multilingual--multi-dataset--your_tts", "CC-BY-NC-ND-4.0", True),
        (published.EXAMPLE, "Apache-2.0", False),
    ],
)
def test_a_published_models_licence_is_known_by_its_name(name: str, licence: str, restricted: bool) -> None:
    found = published.licence_of(name)
    assert found is not None
    assert (found.id, found.restriction is not None) == (licence, restricted)


def test_nobody_knows_the_licence_of_a_folder_of_ones_own() -> None:
    assert published.licence_of("my-voice") is None


def test_weights_are_looked_for_by_name_and_where_kserve_mounts_them(tmp_path: Path) -> None:
    settings = VocalizrSettings(vocalizr_model="xtts", vocalizr_served_name="speaker", chatacter_home=tmp_path)
    models = tmp_path / "models"
    assert place(settings) is None
    assert place(settings.model_copy(update={"vocalizr_weights": "suno/bark"})) == "suno/bark"
    for folder in (models, models / "xtts", models / "speaker"):
        written(folder, VITS)
        assert place(settings) == folder
    assert place(settings.model_copy(update={"vocalizr_weights": str(tmp_path)})) == tmp_path


def test_weights_that_are_nowhere_say_where_they_were_looked_for(tmp_path: Path) -> None:
    backend = create_xtts(VocalizrSettings(vocalizr_model="xtts", chatacter_home=tmp_path))
    with pytest.raises(Misconfigured, match="VOCALIZR_WEIGHTS") as refused:
        backend.load()
    assert str(tmp_path / "models" / "xtts") in refused.value.message


def test_speaker_prompts_are_those_of_the_list_and_archives(tmp_path: Path) -> None:
    arrays = {"semantic_prompt": np.arange(4), "coarse_prompt": np.ones((2, 3)), "fine_prompt": np.ones((8, 3))}
    np.savez(tmp_path / "narrator.npz", **arrays)
    for part, content in arrays.items():
        np.save(tmp_path / f"{part}.npy", content)
    listed = {
        "repo_or_path": "suno/bark",
        "v2/fr_speaker_1": {part: f"{part}.npy" for part in arrays},
        "v2/gone": dict.fromkeys(arrays, "gone.npy"),
        "v2/outside": dict.fromkeys(arrays, "../secret.npy"),
    }
    np.save(tmp_path.parent / "secret.npy", np.arange(4))
    (tmp_path / presets.LIST).write_text(json.dumps(listed))
    found = presets.listed(tmp_path)
    assert set(found) == {"v2/fr_speaker_1", "narrator"}
    assert [presets.language_of(name) for name in found] == ["fr", "en"]
    for files in found.values():
        assert presets.prompt(files)["fine_prompt"].shape == (8, 3)


def test_a_prompt_is_never_code_and_has_its_shape(tmp_path: Path) -> None:
    pickled = tmp_path / "evil.npz"
    np.savez(pickled, semantic_prompt=np.array([object()]), coarse_prompt=np.ones((2, 3)), fine_prompt=np.ones((8, 3)))
    flat = tmp_path / "flat.npz"
    np.savez(flat, semantic_prompt=np.arange(4), coarse_prompt=np.arange(4), fine_prompt=np.ones((8, 3)))
    for file in (pickled, flat):
        with pytest.raises(Misconfigured):
            presets.prompt(dict.fromkeys(presets.PARTS, file))


@pytest.mark.parametrize(
    ("make", "weights", "clones", "together"),
    [
        (create_xtts, "tts_models/multilingual/multi-dataset/xtts_v2", True, True),
        (create_xtts, None, True, True),
        (create, "tts_models/en/vctk/vits", False, True),
        (create, "tts_models/en/ljspeech/glow-tts", False, False),
    ],
)
def test_a_name_at_the_hub_says_before_loading_whether_it_clones_and_speaks_for_many(
    make: Callable[[VocalizrSettings], CoquiSpeech], weights: str | None, clones: bool, together: bool, tmp_path: Path
) -> None:
    told = make(VocalizrSettings(vocalizr_weights=weights, chatacter_home=tmp_path)).capabilities
    assert (told.cloning, told.together is not None) == (clones, together)
