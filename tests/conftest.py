"""What all tests have in common: how hypothesis looks for examples, and certificates for configurations."""

import pytest
from hypothesis import HealthCheck, settings

from config_rules import Pems

# The same ones in every run, and however slow the machine is: what fails once fails again, and what passes passes.
settings.register_profile(
    "same-everywhere", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same-everywhere")


@pytest.fixture(scope="module")
def pems() -> Pems:
    return Pems()
