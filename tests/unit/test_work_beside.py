"""Work beside the requests goes on after an error that nobody foresaw."""

import logging

import pytest

from chattr.bootstrap.beside import again_and_again

pytestmark = pytest.mark.unit


async def test_what_fails_is_told_and_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise ValueError("unforeseen")

    with caplog.at_level(logging.ERROR):
        await again_and_again(work, pause=0)
    assert len(begun) == 3
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
