import pytest

from fastrouter.config import validation


@pytest.fixture
def local_ip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Need no network to validate a configuration."""
    monkeypatch.setattr(validation, "local_ip", lambda: "192.0.2.7")
