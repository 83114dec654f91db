from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers.servers import (
    Case,
    kafka_case,
    mqtt_case,
    nats_case,
    rabbitmq_queue_case,
    rabbitmq_stream_case,
)

CASES = {
    "nats": nats_case,
    "kafka": kafka_case,
    "rabbitmq-queue": rabbitmq_queue_case,
    "rabbitmq-stream": rabbitmq_stream_case,
    "mqtt": mqtt_case,
}


@pytest.fixture(scope="module", params=CASES)
def broker(request: pytest.FixtureRequest) -> Iterator[Case]:
    with CASES[request.param]() as case:
        yield case
