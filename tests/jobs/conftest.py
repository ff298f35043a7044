"""For trained runs: what is built again from a shared one, or is stopped on its way."""

from collections.abc import Iterator

import pytest
import stops

from regraft import trust


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Shared runs have a callback of the tests in their config, which looks on."""
    monkeypatch.setenv(trust.TRUST, "witness")
    trust.users.cache_clear()
    yield
    trust.users.cache_clear()


@pytest.fixture
def untaken_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM mean what they mean in a new process."""
    with stops.untaken_signals():
        yield
