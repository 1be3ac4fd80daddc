"""Which addresses are the page's."""

import pytest

from chattr.ui.paths import API_PREFIXES, PAGE_PATHS, of_page

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "path",
    [
        "",
        *(path for path in PAGE_PATHS if not path.endswith("heartbeat/")),
        "/assets/index.js",
        "/svelte/a/b.js",
        "/gradio_api/heartbeat/a1b2",
        "/gradio_api/heartbeat/a1b2/",
        "/gradio_api/queue/join/",
    ],
)
def test_the_page_has_its_own(path: str) -> None:
    assert of_page(path)


@pytest.mark.parametrize(
    "path",
    [
        "/assets",
        "/config/",
        "/gradio_api/heartbeat/",
        "/gradio_api/heartbeat/../upload",
        "/gradio_api/upload",
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/queue/status",
        "/gradio_api/mcp/",
        "/login",
        "/monitoring",
        "/v1/models",
        "/api/v1/health",
        "/livez",
        "/metrics",
        "/openapi.json",
    ],
)
def test_everything_else_is_not_its(path: str) -> None:
    assert not of_page(path)


def test_page_and_api_share_no_prefix() -> None:
    assert [path for path in PAGE_PATHS for prefix in API_PREFIXES if path.startswith(prefix)] == []
