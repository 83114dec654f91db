"""Settings of every test."""

import os
import sys

# Each of two test processes has a core: a second thread of a library would only wait for it. The
# libraries read this when they are loaded, so nothing that loads one may come before.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")
assert "polars" not in sys.modules
assert "numpy" not in sys.modules

from hypothesis import settings  # noqa: E402

# A deadline measures the machine, and fails when others use it too.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
