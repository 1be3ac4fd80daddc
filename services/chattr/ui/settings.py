"""What the page can be told where it is a process of its own."""

from pydantic import Field, model_validator

from chatacter.chassis.settings import Section, ServiceSettings


class ApiSettings(Section):
    """The API behind the page."""

    url: str | None = None
    """Base URL at which the page reaches Chattr, e.g. `http://localhost:8000`. Must be set. Browsers do not use it."""


class UiSettings(ServiceSettings):
    """Everything the page can be told. Visitors bring keys of their own, so it needs none."""

    require_api_key: bool | None = None
    """The same as Chattr's. `true`: every visitor needs a key, and the page does not stand before an API that needs
    none. `false`: it may. Unset: `false` on loopback only."""
    chattr: ApiSettings = Field(default_factory=ApiSettings)
    """The API behind the page."""

    @model_validator(mode="after")
    def api_is_named(self) -> "UiSettings":
        """There is no API to guess: on the default port the page would ask itself."""
        if self.chattr.url is None:
            raise ValueError("CHATTR__URL is not set; set it to Chattr's address, e.g. http://localhost:8000")
        return self

    @property
    def api_url(self) -> str:
        """Base URL of the API."""
        assert self.chattr.url is not None
        return self.chattr.url
