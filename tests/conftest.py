"""How hypothesis looks for examples, in all tests."""

from hypothesis import HealthCheck, settings

# The same ones in every run, and however slow the machine is: what fails once fails again, and what passes passes.
settings.register_profile(
    "same-everywhere", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same-everywhere")
