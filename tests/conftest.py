"""What all suites share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A slow or busy machine is no failure: neither is one example's time, nor that of making it.
settings.register_profile(
    "pinnace",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pinnace")
