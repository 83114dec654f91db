"""Quix Streams: tumbling windows in its RocksDB state, with Kafka left out.

The broker, its client threads and the serialisation of messages are replaced by a plain loop over
rows, and the state is flushed once at the end. All of that is in Quix Streams' favour.
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import tempfile
import time
from contextvars import copy_context
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from quixstreams.app import Application  # type: ignore[import-not-found]
from quixstreams.context import set_message_context  # type: ignore[import-not-found]
from quixstreams.dataframe.windows import Collect  # type: ignore[import-not-found]
from quixstreams.models import MessageContext  # type: ignore[import-not-found]
from quixstreams.models.topics import Topic, TopicConfig  # type: ignore[import-not-found]

from .collected import (
    NS_PER_S,
    OUT_OF_ORDER_S,
    WIDTH_S,
    Result,
    read_rows,
    report,
    window_result,
)

_NS_PER_MS = 1_000_000
_FLUSH_KEY = b"-1"  # a row of nobody, far in the future, that closes what is open


def main(source: Path, output: Path) -> None:
    logging.getLogger("quixstreams").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as state_dir:
        run(source, output, state_dir)


def run(source: Path, output: Path, state_dir: str) -> None:
    application = Application(
        broker_address="localhost:1",
        consumer_group="bench",
        state_dir=state_dir,
        use_changelog_topics=False,
        auto_create_topics=False,
        loglevel=None,
        topic_manager=MagicMock(),
    )
    topic = Topic(name="rows", value_deserializer="json", key_deserializer="bytes")
    topic.broker_config = TopicConfig(
        num_partitions=1,
        replication_factor=1,
        extra_config={"retention.ms": "-1", "retention.bytes": "-1"},
    )
    frame = application.dataframe(topic)
    windows = frame.tumbling_window(
        duration_ms=WIDTH_S * 1000, grace_ms=OUT_OF_ORDER_S * 1000, name="window"
    ).agg(samples=Collect())
    closed: list[tuple[bytes, Any]] = []
    frame = windows.final(closing_strategy="partition")
    compute = frame.compose(sink=lambda value, key, *_: closed.append((key, value)))[topic.name]
    processing = application._processing_context
    processing.producer = MagicMock(**{"flush.return_value": 0, "offsets": {}})
    processing.consumer = MagicMock()
    application._state_manager.init()
    application._state_manager.on_partition_assign(
        stream_id=frame.stream_id, partition=0, committed_offsets={topic.name: -1001}
    )
    processing.init_checkpoint()

    def process(key: bytes, value: Any, time_ms: int, offset: int) -> None:
        context = copy_context()
        context.run(
            set_message_context,
            MessageContext(topic=topic.name, partition=0, offset=offset, size=0),
        )
        context.run(compute, value, key, time_ms, None)
        processing.store_offset(topic=topic.name, partition=0, offset=offset)

    start_s = time.perf_counter()
    offset, last_ns = -1, 0
    for offset, (key, time_ns, sequence, value) in enumerate(read_rows(source)):
        sample = [time_ns, sequence, value]
        process(str(key).encode(), sample, time_ns // _NS_PER_MS, offset)
        last_ns = max(last_ns, time_ns)
    end_ns = last_ns + 2 * (WIDTH_S + OUT_OF_ORDER_S) * NS_PER_S
    process(_FLUSH_KEY, [end_ns, 0, 0.0], end_ns // _NS_PER_MS, offset + 1)
    processing.checkpoint.commit()
    results: list[Result] = [
        window_result(int(key), window["samples"]) for key, window in closed if key != _FLUSH_KEY
    ]
    seconds = time.perf_counter() - start_s
    report(
        results,
        output,
        seconds=seconds,
        late_rows=0,
        version=importlib.metadata.version("quixstreams"),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
