"""For trained runs: what is built again from a shared one."""

from collections.abc import Iterator

import pytest

from regraft import trust


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Shared runs have a callback of the tests in their config, which looks on."""
    monkeypatch.setenv(trust.TRUST, "witness")
    trust.users.cache_clear()
    yield
    trust.users.cache_clear()
