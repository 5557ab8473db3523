"""How hard the properties are tried: enough to find a slip, and without a clock."""

from hypothesis import settings

settings.register_profile("clew", max_examples=60, deadline=None)
settings.load_profile("clew")
