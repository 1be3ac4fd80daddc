"""Values and settings fit together: what the chart tells a process is a setting of it, and each can be set from values.

That a running process reads what it is told is shown by `tests/e2e/test_rendered_settings.py`.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from scripts.manifests import helm, schema
from scripts.manifests.helm import CHART, LEAST, Refused
from tests.manifests.rendering import installations
from tests.manifests.workloads import Cluster
from tests.pods.containers import Container

pytestmark = pytest.mark.manifests

MODULES = {
    "chattr": "python -m chattr",
    "dispatcher": "python -m chattr.dispatcher",
    "ui": "python -m chattr.ui",
    "vocalizr": "python -m vocalizr",
    "visualizr": "python -m visualizr",
}
COMPONENT = "app.kubernetes.io/component"
MODEL = "chatacter.ai/model"
# Where each process stands in the values, and in the render: its component, or the key of its model.
PLACES = {
    "chattr": ("chattr",),
    "dispatcher": ("dispatcher",),
    "ui": ("ui",),
    "vocalizr": ("inference", "models", "voice"),
    "visualizr": ("inference", "models", "portrait"),
}
# What is no setting of ours, and who reads it instead.
OTHERS = {
    "HOME": "Python and libraries, for folders of a user; only /tmp can be written",
    "HF_HOME": "huggingface_hub's cache, where a backend of a plugin uses it",
    "POD_NAME": "the kubelet, which fills it into OTEL_RESOURCE_ATTRIBUTES",
}
# What no value changes, and why.
FIXED = {
    "HOST": "a pod is reached from outside itself",
    "PORT": "Services, policies and probes name the port",
    "LOG_FORMAT": "a cluster's collectors read JSON",
    "ENABLE_UI": "the page is a Deployment of its own",
    ("vocalizr", "REQUIRE_API_KEY"): "predictors are met by the other services alone, with their token",
    ("visualizr", "REQUIRE_API_KEY"): "predictors are met by the other services alone, with their token",
    ("chattr", "CHATACTER_HOME"): "the image carries what is needed",
    ("dispatcher", "CHATACTER_HOME"): "the image carries what is needed",
    ("ui", "CHATACTER_HOME"): "the page keeps nothing",
    ("dispatcher", "ENABLE_VIDEO_GENERATION"): "without video there is no dispatcher",
}
# What a process shares a class with and never asks for; `tests/e2e/test_rendered_settings.py` shows the rest is read.
UNREAD = {
    "dispatcher": {
        *(
            "API_RATE_LIMIT",
            "ASSET_CLEANUP_DAYS",
            "CHARACTER_CONFIG_PATH",
            "DEFAULT_CHARACTER",
            "ENABLE_LONG_TERM_MEMORY",
            "ENABLE_UI",
        ),
        *(
            "PRELOAD_MODELS",
            "MEMORY__EXTRACTION",
            "MEMORY__SUMMARY",
            "MODEL__CONTINUATION",
            "MODEL__ALTERNATIVES",
            "MODEL__CONTEXT_TOKENS",
            "MODEL__MAX_TOKENS",
            "MODEL__NAME",
            "MODEL__TEMPERATURE",
        ),
        *("MODEL__THREADS", "MODEL__TIMEOUT", "MODEL__URL", "MODEL__API_KEY", "RUN_DISPATCHER", "VOCALIZR__VOICE"),
        *("EMBEDDINGS__URL", "EMBEDDINGS__NAME", "EMBEDDINGS__API_KEY", "EMBEDDINGS__DIMENSIONS"),
        *("EMBEDDINGS__TIMEOUT", "VECTOR_DATABASE__URL", "VECTOR_DATABASE__API_KEY"),
        *("VECTOR_DATABASE__COLLECTION", "VECTOR_DATABASE__TIMEOUT"),
    }
}
OWN_SECRET = {"existingSecret": "of-mine", "existingSecretKey": "it"}
NO_COLLECTOR = {"otel-collector": {"enabled": False}}
REDIS = {"redis": {"enabled": False}, "externalRedis": {"url": "redis://redis.example:6379/0", **OWN_SECRET}}
WITH_CACHE = {"redis": {"cache": {"enabled": True}}}
NO_VOICE = {"inference": {"models": {"voice": {"enabled": False}}}}
NO_FILM = {"inference": {"models": {"portrait": {"enabled": False}}}}
ELSEWHERE = {"url": "http://elsewhere.example:8001", "urls": {"other": "http://other.example:8001"}}
# The values beside `settings` that a setting is set by; a change of them changes what the process is told.
OF_ALL: dict[str, dict[str, Any]] = {
    "LOG_LEVEL": {"global": {"logLevel": "DEBUG"}},
    "SERVICE_TOKEN": {"global": {"serviceToken": OWN_SECRET}},
    "OTEL_EXPORTER_OTLP_ENDPOINT": {"global": {"telemetry": {"endpoint": "http://otel.example:4318"}}, **NO_COLLECTOR},
    "OTEL_EXPORTER_OTLP_HEADERS": {"global": {"telemetry": {"headers": OWN_SECRET}}},
    "OTEL_RESOURCE_ATTRIBUTES": {"global": {"telemetry": {"resourceAttributes": {"deployment.environment.name": "t"}}}},
}
OF_CHATTR: dict[str, dict[str, Any]] = {
    "RECORDS__URL": REDIS,
    "RECORDS__USERNAME": helm.merged(REDIS, {"externalRedis": {"username": "me"}}),
    "RECORDS__PASSWORD": REDIS,
    "RECORDS__DURABLE": helm.merged(REDIS, {"externalRedis": {"durable": True}}),
    "CACHE__URL": WITH_CACHE,
    "CACHE__PASSWORD": WITH_CACHE,
    "CACHE__USERNAME": helm.merged(
        REDIS, {"externalRedis": {"username": "me", "cacheUrl": "redis://c.example:6379/1"}}
    ),
    "ASSETS_URL": {"assets": {"url": "s3://bucket/assets"}},
    "ENABLE_VOICE_GENERATION": NO_VOICE,
    "ENABLE_VIDEO_GENERATION": NO_FILM,
    "VOCALIZR__URL": helm.merged(NO_VOICE, {"externalVocalizr": ELSEWHERE}),
    "VOCALIZR__URLS": {"externalVocalizr": {"urls": ELSEWHERE["urls"]}},
    "VOCALIZR__MODEL": helm.merged(NO_VOICE, {"externalVocalizr": {**ELSEWHERE, "model": "mine"}}),
    "VOCALIZR__TIMEOUT": {"inference": {"models": {"voice": {"timeout": 77}}}},
    "VISUALIZR__URL": helm.merged(NO_FILM, {"externalVisualizr": ELSEWHERE}),
    "VISUALIZR__URLS": {"externalVisualizr": {"urls": ELSEWHERE["urls"]}},
    "VISUALIZR__TIMEOUT": {"inference": {"models": {"portrait": {"timeout": 77}}}},
}
OWN: dict[str, dict[str, dict[str, Any]]] = {
    "chattr": {
        **OF_ALL,
        **OF_CHATTR,
        "API_RATE_LIMIT": {"rateLimit": 600_000},
        "API_KEYS_FILE": {"auth": {"required": False}, "secrets": {"existingSecret": ""}},
        "CHARACTER_CONFIG_PATH": {"characters": {"files": {"mine.yaml": {"id": "mine", "name": "Mine"}}}},
        "CORS_ORIGINS": {"corsOrigins": ["https://page.example"]},
        "DISPATCHER_CONCURRENCY": {"dispatcher": {"enabled": False, "concurrency": 3}},
        "RUN_DISPATCHER": {"dispatcher": {"enabled": False}},
        "ENABLE_LONG_TERM_MEMORY": {"longTermMemory": {"enabled": False}, "qdrant": {"enabled": False}},
        "MODEL__URL": {"model": {"url": "https://other.example/v1"}},
        "MODEL__NAME": {"model": {"name": "another"}},
        "MODEL__ALTERNATIVES": {"model": {"alternatives": ["small", "large"]}},
        "MODEL__API_KEY": {"secrets": {"modelApiKey": "sk-mine"}},
        "EMBEDDINGS__API_KEY": {
            "secrets": {"embeddingsApiKey": "sk-too"},
            "chattr": {"settings": {"EMBEDDINGS__URL": "https://e.example/v1", "EMBEDDINGS__NAME": "small"}},
        },
        "MODEL__TEMPERATURE": {"model": {"temperature": 0.3}},
        "MODEL__MAX_TOKENS": {"model": {"maxTokens": 99}},
        "MODEL__CONTEXT_TOKENS": {"model": {"contextTokens": 999}},
        "MODEL__TIMEOUT": {"model": {"timeout": 33}},
        "REQUIRE_API_KEY": {"auth": {"required": False}},
        "SHUTDOWN_GRACE": {"chattr": {"shutdownGrace": 33}},
        "VECTOR_DATABASE__URL": {"qdrant": {"enabled": False}, "externalQdrant": {"url": "https://q.example:6333"}},
        "VECTOR_DATABASE__API_KEY": {"qdrant": {"auth": OWN_SECRET}},
    },
    "dispatcher": {
        **OF_ALL,
        **{name: values for name, values in OF_CHATTR.items() if name != "ENABLE_VIDEO_GENERATION"},
        "DISPATCHER_CONCURRENCY": {"dispatcher": {"concurrency": 3}},
        "SHUTDOWN_GRACE": {"dispatcher": {"shutdownGrace": 33}},
    },
    "ui": {
        **OF_ALL,
        "CHATTR__URL": {"global": {"fullnameOverride": "other"}},
        "REQUIRE_API_KEY": {"auth": {"required": False}},
        "SHUTDOWN_GRACE": {"ui": {"shutdownGrace": 33}},
    },
    **{
        process: {
            **OF_ALL,
            "CHATACTER_HOME": {"storageUri": "s3://bucket/models"},
            "SHUTDOWN_GRACE": {"timeout": 77},
            "REQUEST_TIMEOUT": {"timeout": 77},
            "GRPC_PORT": {"grpc": {"port": 8081, "from": [{"namespaceSelector": {}}]}},
            f"{prefix}_MODEL": {"backend": "remote", "settings": {f"{prefix}_REMOTE_URL": "http://r.example/v1"}},
            f"{prefix}_SERVED_NAME": {"servedName": "mine"},
            f"{prefix}_CONCURRENCY": {"concurrency": 3},
            f"{prefix}_QUEUE": {"queue": 5},
            f"{prefix}_THREADS": {"resources": {"limits": {"cpu": "4"}}},
        }
        for process, prefix in (("vocalizr", "VOCALIZR"), ("visualizr", "VISUALIZR"))
    },
}


class Anything(dict[str, str]):
    """A Secret that has every key."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return f"of-{key}"


class Secrets(dict[str, Mapping[str, str]]):
    """Every Secret that is asked for."""

    def get(self, key: str, default: Any = None) -> Any:
        return Anything()


@cache
def rendered(said: str) -> Cluster:
    return Cluster(helm.objects(helm.template(given=json.loads(said))))


def running(cluster: Cluster) -> Iterator[tuple[str, str, Container]]:
    """Every container that runs one of our processes: its part or model, the process, the container."""
    known = {module: process for process, module in MODULES.items()}
    for pods in cluster.pods():
        process = known.get(" ".join(pods.containers[0].get("command", [])))
        if process:
            part = pods.labels.get(MODEL, pods.labels.get(COMPONENT, ""))
            yield part, process, Container(cluster, pods, "pod-0", Secrets())


def containers(values: Mapping[str, Any]) -> dict[str, Container]:
    """Each of our processes as it would run with these values over the least."""
    cluster = rendered(json.dumps(helm.merged(LEAST, values), sort_keys=True))
    return {process: found for part, process, found in running(cluster) if part == PLACES[process][-1]}


def told(values: Mapping[str, Any], process: str) -> dict[str, Any]:
    """What the chart tells a process, by name; each name once."""
    entries = containers(values)[process].spec["env"]
    assert sorted(e["name"] for e in entries) == sorted({e["name"] for e in entries}), process
    return {entry["name"]: entry for entry in entries}


def at_home(process: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a process' own at their place among those of the chart."""
    for part in reversed(PLACES[process]):
        values = {part: values}
    return dict(values)


def within(process: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `OWN` as values of the chart: the rows of predictors speak of their model."""
    of_model = process in {"vocalizr", "visualizr"} and not {"global", "otel-collector"} & set(values)
    return at_home(process, values) if of_model else dict(values)


def settings(process: str) -> dict[str, FieldInfo]:
    return dict(schema.within(schema.PROCESSES[process]))


def fixed(process: str, name: str) -> bool:
    return name in FIXED or (process, name) in FIXED


def free(process: str) -> dict[str, FieldInfo]:
    """The settings that stand in `settings`, since nothing else in the values sets them."""
    return {
        name: field
        for name, field in settings(process).items()
        if name not in OWN[process] and not fixed(process, name)
        if name not in UNREAD.get(process, ())
    }


def sample(name: str, field: FieldInfo) -> tuple[Any, Any]:
    """A value that is not the default, and what the process makes of it."""
    kinds = schema.flat(field.annotation)
    if get_origin(kinds[0]) is Literal:
        other = next(each for each in get_args(kinds[0]) if each != field.default)
        return other, other
    if kinds[0] is bool:
        return not field.default, not field.default
    if kinds[0] in (int, float):
        least = next((each.ge for each in field.metadata if hasattr(each, "ge")), 1)
        number = (field.default or least) + 2
        return number, number
    if get_origin(kinds[0]) is tuple:
        return "one, two", ("one", "two")
    if get_origin(kinds[0]) is dict:
        return {"m": "http://m.example:1"}, {"m": "http://m.example:1"}
    text = "something"
    if name.endswith("_URL"):
        text = "http://there.example:1/v1" if "REMOTE" in name else "redis://there.example:6379/0"
    return text, text


@pytest.fixture(params=PLACES)
def process(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def ways() -> list[tuple[str, Container]]:
    """Our processes as every values file and way of serving tells them, and as every row of `OWN` does."""
    ready_made = [each for each in installations() if each.file.parent == CHART]
    found = [each for installation in ready_made for each in running(Cluster(installation.manifests()))]
    for process, changes in OWN.items():
        for values in changes.values():
            found += running(rendered(json.dumps(helm.merged(LEAST, within(process, values)), sort_keys=True)))
    return [(process, container) for _, process, container in found]


def test_every_variable_is_a_setting_of_the_process_that_gets_it() -> None:
    seen: dict[str, set[str]] = {process: set() for process in PLACES}
    for process, container in ways():
        seen[process] |= set(container.told())
    unknown = {process: names - set(settings(process)) - set(OTHERS) for process, names in seen.items()}
    assert not {process: names for process, names in unknown.items() if names}
    assert set(OTHERS) <= set.union(*seen.values())


def test_a_process_takes_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for process, container in ways():
        with monkeypatch.context() as environment:
            for name, value in container.environment().items():
                environment.setenv(name, value)
            try:
                schema.PROCESSES[process].read()
            except SystemExit:
                pytest.fail(f"{process} refuses to start, told {container.told()}")


def test_every_other_setting_is_set_by_name(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = free(process)
    secret = [name for name, field in fields.items() if schema.is_secret(name, field)]
    samples = {name: sample(name, field) for name, field in fields.items() if name not in secret}
    extra = [{"name": name, "valueFrom": {"secretKeyRef": {"name": "of-mine", "key": name}}} for name in secret]
    given = {"settings": {name: pair[0] for name, pair in samples.items()}, "extraEnv": extra}
    values = helm.merged(at_home(process, given), WITH_CACHE if "CACHE__URL" in OWN[process] else {})
    container = containers(values)[process]
    told(values, process)
    for name, value in container.environment().items():
        monkeypatch.setenv(name, value)
    read = schema.PROCESSES[process].read()
    for name, expected in {**{n: p[1] for n, p in samples.items()}, **{n: f"of-{n}" for n in secret}}.items():
        found = attrgetter(name.lower().replace("__", "."))(read)
        plain = found.get_secret_value() if isinstance(found, SecretStr) else found
        assert (str(plain) if isinstance(expected, str) else plain) == expected, name


def test_every_value_of_its_own_reaches_the_process(process: str) -> None:
    before = told({}, process)
    for name, values in OWN[process].items():
        after = told(within(process, values), process)
        assert before.get(name) != after.get(name), f"{json.dumps(values)} does not change {name} of {process}"


def test_what_is_said_of_a_setting_is_said_of_one_that_there_is() -> None:
    known = {process: set(settings(process)) for process in PLACES}
    everything = set.union(*known.values())
    for process in PLACES:
        assert set(OWN[process]) <= known[process]
    for each in FIXED:
        assert each in everything if isinstance(each, str) else each[1] in known[each[0]]
    assert not set(OTHERS) & everything


def test_a_misspelt_setting_is_refused(process: str) -> None:
    given = {"settings": {"LOG_LEVL": "DEBUG"}}
    with pytest.raises(Refused, match="LOG_LEVL"):
        containers(at_home(process, given))


def test_the_schema_was_rendered_after_the_last_change_of_a_setting() -> None:
    for source in schema.sources():
        rendered = source.with_suffix(".json")
        assert json.loads(rendered.read_text()) == schema.load(source), f"make render ({rendered.relative_to(CHART)})"
