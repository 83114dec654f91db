"""Settings of every test."""

import os

# Each of two test processes has a core: a second thread of a library would only wait for it. The
# libraries read this when they are loaded, which no import before this one does.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")

from hypothesis import settings  # noqa: E402

# A deadline measures the machine, and fails when others use it too.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
