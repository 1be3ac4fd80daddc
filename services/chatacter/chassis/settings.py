"""Settings that every service has. Environment variables, nested by `__`, also from `.env`; read nowhere else."""

import ipaddress
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from chatacter.chassis.errors import Misconfigured


def split_commas(value: Any) -> Any:
    """Read `a, b` as a tuple, as people write lists in environment variables."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]


class Section(BaseModel):
    """A group of settings, `SECTION__FIELD` in the environment. Docstrings under the fields are the documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def default_home() -> Path:
    """Return the folder for data of this user, as the XDG base directory specification places it."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "chatacter"


def ask_for_stable_http_names() -> None:
    """Tell OpenTelemetry's instrumentation to use the stable HTTP conventions. It listens to the environment only."""
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")


def forbid_onnxruntime_to_report() -> None:
    """Keep ONNX Runtime from telling Microsoft about its use, and from writing an id of this machine into the home.

    Since 1.32 its Linux wheels do so unless this variable stands when it is imported; `disable_telemetry_events()`
    is too late.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def tame_ray() -> None:
    """Keep Ray from telling its makers about its use, and from ending this process. Call it before Ray's import.

    Ray would put a handler of its own before ours for SIGTERM, which aborts the process three seconds later, whatever
    is still being said.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DISABLE_FAILURE_SIGNAL_HANDLER"] = "1"


def url_host(host: str) -> str:
    """Return the host of a URL at which this machine reaches a service that listens on `host`."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{reached}]" if ":" in reached else reached


class ServiceSettings(BaseSettings):
    """What any service can be told."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on: `0.0.0.0` for all of IPv4, `::` for all of IPv6 and IPv4. Anything but loopback requires
    API keys unless `REQUIRE_API_KEY=false` says otherwise."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """Port to listen on."""
    chatacter_home: Annotated[Path, Field(default_factory=default_home)]
    """The folder for models and data. Unset: `$XDG_DATA_HOME/chatacter`, else `~/.local/share/chatacter`."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe level that is written."""
    log_format: Literal["text", "json"] = "text"
    """`text` for people, `json` for collectors. Neither carries what users write."""
    require_api_key: bool | None = None
    """`true` closes every door to callers without a key, `false` opens all. Unset: open on loopback only."""
    api_keys_file: Path | None = None
    """File of hashed API keys (a mounted secret), made by `chatacter keys create`."""
    service_token: SecretStr | None = None
    """Shared secret with which the three services call each other."""
    cors_origins: CommaSeparated = ()
    """Origins, separated by commas, whose pages may call this API from a browser. Empty: none."""
    max_request_bytes: Annotated[int, Field(ge=1024)] = 32 * 1024 * 1024
    """Largest request body; a larger one is refused with 413."""
    request_timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds in which a body must have arrived, and in which an answer must begin. Streams may last longer."""
    shutdown_grace: Annotated[float, Field(ge=0)] = 30.0
    """Seconds that running requests get to finish after SIGTERM."""
    enable_metrics: bool = True
    """Serve Prometheus metrics at `/metrics`."""
    otel_exporter_otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector for traces, metrics and logs. Unset: nothing is sent."""
    otel_exporter_otlp_headers: CommaSeparated = ()
    """Headers for the collector, `key=value` separated by commas."""
    otel_service_name: str | None = None
    """`service.name` of everything sent; the service's own name when unset."""
    otel_resource_attributes: CommaSeparated = ()
    """Further resource attributes, `key=value` separated by commas."""

    @property
    def models_dir(self) -> Path:
        """Where installed models live."""
        return self.chatacter_home / "models"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keys_required(self) -> bool:
        """Whether callers need a key."""
        return not self.on_loopback if self.require_api_key is None else self.require_api_key

    @classmethod
    def read(cls, **overrides: Any) -> Self:
        """Read the environment; on a mistake end the process with a sentence for each instead of a traceback."""
        try:
            return cls.known(**overrides)
        except Misconfigured as error:
            sys.stderr.write(f"{error.message}\n")
            raise SystemExit(2) from None

    @classmethod
    def known(cls, **overrides: Any) -> Self:
        """Read the environment. Raises `Misconfigured`, with a line for each mistake."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            mistakes = error.errors(include_input=False, include_url=False)
            names = ["__".join(str(part) for part in mistake["loc"]).upper() or "settings" for mistake in mistakes]
            lines = [f"{name}: {mistake['msg']}" for name, mistake in zip(names, mistakes, strict=True)]
            raise Misconfigured("\n".join(lines)) from None
        except SettingsError as error:  # a whole section written as JSON that is none
            raise Misconfigured(f"settings: {error}") from None


def pairs(items: tuple[str, ...]) -> dict[str, str]:
    """Read `key=value` items; those without `=` are left out."""
    return {
        key.strip(): value.strip() for key, separator, value in (item.partition("=") for item in items) if separator
    }


def inherited(**changes: str) -> dict[str, str]:
    """Return the environment for a child process: this one's, with changes."""
    return {**os.environ, **changes}
