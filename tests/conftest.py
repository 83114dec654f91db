"""Settings of every test."""

from hypothesis import settings

# A deadline measures the machine, and fails when others use it too.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
