"""compose.yaml keeps what docs/configuration.md and docs/faq.md promise.

tests/integration/test_compose_proxy.py runs the proxy's configuration.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from chatacter.chassis.auth import keyring_of
from chatacter.chassis.settings import Section, ServiceSettings
from chattr.settings import ChattrSettings
from chattr.ui.settings import UiSettings
from tests.dockerfile import Dockerfile
from visualizr.settings import VisualizrSettings
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.manifests

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text("utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
SETTINGS: dict[str, type[ServiceSettings]] = {
    "app": ChattrSettings,
    "ui": UiSettings,
    "vocalizr": VocalizrSettings,
    "visualizr": VisualizrSettings,
    "vocalizr-gpu": VocalizrSettings,
    "visualizr-gpu": VisualizrSettings,
}
# Settings that the image says once and for all, or that have no meaning in these containers.
FIXED = {"HOST", "PORT", "CHATACTER_HOME", "OTEL_SERVICE_NAME", "MODEL__THREADS"}
# What a library of ours reads by itself.
OF_LIBRARIES = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"}
# What compose.yaml asks of the shell beside settings; its head explains each.
OWN_VARIABLES = {
    "CHATACTER_VERSION",
    "GRAFANA_PORT",
    "PUBLISH",
    "VISUALIZR_GPU_IMAGE",
    "VISUALIZR_GPU_MODEL",
    "VOCALIZR_GPU_IMAGE",
    "VOCALIZR_GPU_MODEL",
}
# Read when the tests are collected, since their environment is clean.
SCHEMA = os.environ.get("COMPOSE_SCHEMA")


def names(settings: type[Any], prefix: str = "") -> Iterator[str]:
    """The environment variables of a group of settings."""
    for name, field in settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from names(kind, f"{prefix}{name}__".upper())
        else:
            yield f"{prefix}{name}".upper()


def documented() -> set[str]:
    return {name for settings in SETTINGS.values() for name in names(settings)}


def filled_in(told: Any, **given: str) -> Any:
    """Interpolate as Compose does, each text by itself: `${NAME:-default}` and `$$`."""
    if isinstance(told, dict):
        return {name: filled_in(value, **given) for name, value in told.items()}
    if isinstance(told, list):
        return [filled_in(value, **given) for value in told]
    if not isinstance(told, str):
        return told
    text = re.sub(r"(?<!\$)\$\{(\w+):-([^}]*)\}", lambda found: given.get(found[1]) or found[2], told)
    assert not re.search(r"(?<!\$)\$(?:\{|\w)", text), f"an interpolation that is not known here: {told}"
    return text.replace("$$", "$")


def made(service: str, **given: str) -> dict[str, str]:
    """The environment of a container: a name without a value is passed on where the shell has it."""
    environment = filled_in(SERVICES[service]["environment"], **given)
    told = {name: given.get(name) if value is None else value for name, value in environment.items()}
    return {name: value for name, value in told.items() if value is not None}


def test_it_follows_the_specification() -> None:
    if SCHEMA is None:
        pytest.skip("COMPOSE_SCHEMA does not name compose-spec.json")
    validator = jsonschema_rs.validator_for(json.loads(Path(SCHEMA).read_text()))
    assert [error.message for error in validator.iter_errors(filled_in(FILE))] == []


def test_services_and_volumes_have_the_names_that_were_promised() -> None:
    assert FILE["name"] == "chatacter"
    assert {"app", "visualizr", "vocalizr", "qdrant", "redis", "proxy"} <= SERVICES.keys()
    assert "qdrant_storage" in FILE["volumes"]
    assert all(volume is None for volume in FILE["volumes"].values()), "a name of its own would lose the project's"
    assert all("container_name" not in service for service in SERVICES.values()), "a name allows one replica only"


@pytest.mark.parametrize("service", SETTINGS)
def test_every_setting_can_be_given_and_no_other(service: str) -> None:
    wanted = set(names(SETTINGS[service]))
    environment = set(SERVICES[service]["environment"])
    assert environment - wanted == (OF_LIBRARIES if service == "app" else set())
    if service != "ui":
        # Keys of people are Chattr's to know; its calls to a predictor carry the service token.
        theirs = set() if service == "app" else {"API_KEYS_FILE"}
        assert wanted - environment - FIXED == theirs


def test_what_is_asked_of_the_shell_is_a_setting_or_explained() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    assert asked - documented() == OWN_VARIABLES
    head = TEXT.partition("\nname:")[0]
    assert {name for name in OWN_VARIABLES if name.split("_")[0] not in head} == set()


@pytest.mark.parametrize("service", ["app", "ui", "vocalizr", "visualizr"])
def test_a_key_alone_is_enough(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in made(service, MODEL__API_KEY="gsk-1").items():
        monkeypatch.setenv(name, value)
    told = SETTINGS[service].read()
    assert told.keys_required is False
    if isinstance(told, ChattrSettings):
        assert told.model.api_key is not None
        assert (told.model.url, told.model.name) == ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile")
        assert told.records.url.get_secret_value() == "redis://redis:6379/0"
        assert told.vector_database.url == "http://qdrant:6333"
        assert not told.enable_ui


@pytest.mark.parametrize("service", ["app", "vocalizr", "visualizr"])
def test_with_keys_every_service_knows_one(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "api_keys.json"
    file.write_text("[]")
    given = {"REQUIRE_API_KEY": "true", "SERVICE_TOKEN": "token", "API_KEYS_FILE": str(file), "MODEL__API_KEY": "gsk-1"}
    for name, value in made(service, **given).items():
        monkeypatch.setenv(name, value)
    told = SETTINGS[service].read()
    assert keyring_of(told).identify("token").key_id == "service"
    assert told.api_keys_file == (file if service == "app" else None)


def test_a_setting_of_the_shell_goes_before_the_file_s(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"MODEL__URL": "http://host.docker.internal:11434/v1", "MODEL__NAME": "llama3.2", "LOG_FORMAT": "json"}
    for name, value in made("app", **given).items():
        monkeypatch.setenv(name, value)
    told = ChattrSettings.read()
    assert (told.model.url, told.model.name, told.log_format) == (given["MODEL__URL"], "llama3.2", "json")


def test_ports_are_published_on_loopback_and_by_the_proxy() -> None:
    published = {name: filled_in(service["ports"]) for name, service in SERVICES.items() if "ports" in service}
    assert published["proxy"] == [f"127.0.0.1:{port}:{port}" for port in (8000, 8001, 8002, 6333)]
    assert published.keys() == {"proxy", "grafana", "otel-collector"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    listening = {int(port) for port in re.findall(r"listen (\d+);", (ROOT / "compose/proxy.conf.template").read_text())}
    assert listening == {8000, 8001, 8002, 6333}


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_may_do_little(service: str) -> None:
    told = SERVICES[service]
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["restart"] == "unless-stopped"
    assert "/tmp" in told["tmpfs"]
    assert "privileged" not in told
    assert {"cpus", "memory"} <= told["deploy"]["resources"]["limits"].keys()


@pytest.mark.parametrize("service", SERVICES)
def test_its_image_is_ours_or_pinned(service: str) -> None:
    image = filled_in(SERVICES[service]["image"])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    ours = re.fullmatch(r"ghcr\.io/alphaspheredotai/chatacter-(chattr|vocalizr|visualizr):(\S+?)(-cuda)?", image)
    if ours is None:
        assert re.fullmatch(r"docker\.io/[a-z/-]+:[\w.-]+@sha256:[0-9a-f]{64}", image)
        assert "build" not in SERVICES[service]
        return
    build = SERVICES[service]["build"]
    assert ours[2] == version
    assert build["target"] == ours[1]
    assert build.get("args", {}).get("VARIANT", "") == (ours[3] or "")
    file = Dockerfile(ROOT / build["context"] / build["dockerfile"], **build.get("args", {}))
    assert file.told(build["target"]).user == "10001:10001"


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_exists(service: str) -> None:
    for volume in SERVICES[service].get("volumes", []):
        source, target, *_ = volume.split(":")
        assert target.startswith("/")
        assert (ROOT / source).is_file() if source.startswith(".") else source in FILE["volumes"], source
    for config in SERVICES[service].get("configs", []):
        assert config["source"] in FILE["configs"]


def test_what_is_waited_for_is_told() -> None:
    for name, service in SERVICES.items():
        for other, wish in service.get("depends_on", {}).items():
            if wish["condition"] == "service_healthy":
                ours = "build" in SERVICES[other]
                assert ours or "healthcheck" in SERVICES[other], f"{name} waits for {other}, which never says so"


@pytest.mark.parametrize("service", ["app", "vocalizr", "visualizr"])
def test_a_container_has_longer_to_stop_than_its_work(service: str) -> None:
    told = SERVICES[service]
    assert int(told["stop_grace_period"].removesuffix("s")) >= int(told["environment"]["SHUTDOWN_GRACE"]) + 5
    assert "SHUTDOWN_GRACE" not in re.findall(r"\$\{(\w+)", TEXT), "the period would not follow"


def test_redis_keeps_what_it_is_given() -> None:
    command = SERVICES["redis"]["command"]
    told = dict(zip(command[1::2], command[2::2], strict=True))
    assert told["--appendonly"] == "yes"
    assert told["--maxmemory-policy"] == "noeviction"


def test_replicas_share_their_files_but_no_one_else_s() -> None:
    assert SERVICES["app"]["volumes"] == ["chattr_data:/var/lib/chatacter"]
    assert SERVICES["app"]["environment"]["ASSETS_URL"].endswith(":-file:///var/lib/chatacter/assets}")
    others = [name for name, service in SERVICES.items() if any("chattr_data" in v for v in service.get("volumes", []))]
    assert others == ["app"]


def test_profiles_leave_the_rest_alone() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert {name for name, given in profiles.items() if given == ["gpu"]} == {"vocalizr-gpu", "visualizr-gpu"}
    assert {name for name, given in profiles.items() if given == ["monitoring"]} == {
        "otel-collector",
        "prometheus",
        "grafana",
    }
    for name in ("vocalizr-gpu", "visualizr-gpu"):
        [device] = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]


def test_prometheus_asks_every_service_at_its_port() -> None:
    told = yaml.safe_load(filled_in(FILE["configs"]["prometheus"]["content"], SERVICE_TOKEN="s3cret"))
    [job] = told["scrape_configs"]
    assert job["authorization"]["credentials"] == "s3cret"
    asked = {name: each["port"] for each in job["dns_sd_configs"] for name in each["names"]}
    assert asked == {name: SETTINGS[name].model_fields["port"].default for name in ("app", "vocalizr", "visualizr")}
    assert all(each["type"] == "A" for each in job["dns_sd_configs"]), "an address is all that the engine knows"


def test_the_collector_is_whole() -> None:
    told = yaml.safe_load((ROOT / "compose/otel-collector.yaml").read_text())
    for pipeline in told["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= told[kind].keys()
        assert pipeline["processors"][0] == "memory_limiter"
    assert told["exporters"]["prometheus"]["endpoint"].endswith(":8889")


def documented_commands() -> Iterator[tuple[str, str]]:
    for page in sorted((ROOT / "docs").glob("*.md")):
        for command in re.findall(r"docker compose [^`\n|&;)]+", page.read_text("utf-8")):
            yield page.name, command.strip().rstrip(".,:")


@pytest.mark.parametrize(("page", "command"), list(documented_commands()))
def test_commands_of_the_docs_name_what_there_is(page: str, command: str) -> None:
    words = command.split()[2:]
    scaled = [word.partition("=")[0] for flag, word in pairwise(words) if flag == "--scale"]
    profiles = [word for flag, word in pairwise(words) if flag == "--profile"]
    verbs = [word for word in words if word in {"up", "down", "logs", "restart", "exec", "build", "ps", "pull", "stop"}]
    assert verbs, f"{page}: {command}"
    named = words[words.index(verbs[0]) + 1 :]
    services = [] if verbs[0] in {"up", "down", "ps"} else [word for word in named if not word.startswith("-")][:1]
    assert {*scaled, *services} <= SERVICES.keys(), f"{page}: {command}"
    assert set(profiles) <= {"gpu", "monitoring"}
