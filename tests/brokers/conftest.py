from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers.servers import Case, nats_case

CASES = {"nats": nats_case}


@pytest.fixture(scope="module", params=CASES)
def broker(request: pytest.FixtureRequest) -> Iterator[Case]:
    with CASES[request.param]() as case:
        yield case
