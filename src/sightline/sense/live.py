"""Live sources: readers that fill inboxes, and epochs cut by the wall clock.

Decoding never waits for the engine: each stream has a thread that reads, stamps the receipt time
and puts what it read into the inbox of its source. The engine takes what waits once per tick.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import NS_PER_S, RECEIVED_NS
from sightline.sense.arrival import Epoch, join_batches
from sightline.sense.contract import Contract
from sightline.sense.inbox import Inbox
from sightline.sense.source import Position, Source, Stream


class LiveReaders:
    """Threads that read live sources into their inboxes.

    Args:
        sources: (source, contract of its rows, its inbox).
        wall_ns: stamps the receipt.
    """

    def __init__(
        self, sources: Sequence[tuple[Source, Contract, Inbox]], *, wall_ns: Callable[[], int]
    ) -> None:
        self._wall_ns = wall_ns
        self._lock = threading.Lock()
        self._inboxes = [inbox for _, _, inbox in sources]
        self._open: Mapping[str, list[Stream]] = {
            source.name: [one.with_origin(contract.origin_column) for one in source.streams()]
            for source, contract, _ in sources
        }
        # Daemons: a read that never returns must not keep the interpreter from ending.
        self._threads = [
            threading.Thread(
                target=self._read,
                args=(stream, inbox),
                name=f"reader {source.name} {stream.origin}",
                daemon=True,
            )
            for source, _, inbox in sources
            for stream in self._open[source.name]
        ]

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Let the readers end; one that hangs in a read is left behind after ``timeout_s``."""
        for inbox in self._inboxes:
            inbox.abandon()
        for thread in self._threads:
            thread.join(timeout_s)

    def _read(self, stream: Stream, inbox: Inbox) -> None:
        """Main of a reader thread."""
        failure: BaseException | None = None
        try:
            for chunk in stream.chunks():
                if not inbox.put(chunk, received_ns=self._wall_ns()):
                    break
        except Exception as error:  # noqa: BLE001 - handed to the engine, which raises it
            failure = error
        with self._lock:
            streams = self._open[inbox.source]
            streams.remove(stream)
            if failure is not None or not streams:
                inbox.close(failure)


def live_epochs(
    inboxes: Sequence[Inbox],
    *,
    tick_ns: int,
    first_number: int,
    wall_ns: Callable[[], int],
    wait_s: Callable[[float], None],
    is_stopped: Callable[[], bool],
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Epoch]:
    """Epochs of live sources: at each point of the wall clock's grid, what waits in the inboxes.

    Ends with a final epoch when every reader has ended, and with an ordinary one when it was
    stopped: then the run can be resumed.

    Args:
        inboxes: one per source, in the order of the pipeline.
        tick_ns: width of the grid.
        first_number: least number of the first epoch; numbers only ever grow.
        wall_ns: UTC ns. Where it goes back, ticks go on at their pace: time never runs backwards.
        wait_s: waits that many seconds.
        is_stopped: whether somebody asked for the end.
        limits: ``max_epoch_rows`` (what is more waits for the next epoch) and ``stop_check_s``.

    Raises:
        Whatever ended a reader.
    """
    number = max(wall_ns() // tick_ns, first_number)
    while True:
        end_ns = (number + 1) * tick_ns
        waited_s = 0.0
        while not is_stopped() and not all(i.is_closed for i in inboxes):
            left_s = min((end_ns - wall_ns()) / NS_PER_S, tick_ns / NS_PER_S - waited_s)
            if left_s <= 0:
                break
            step_s = min(left_s, limits.stop_check_s)
            wait_s(step_s)
            waited_s += step_s
        is_stopping = is_stopped()
        taken = take_waiting(inboxes, limits)
        is_final = not is_stopping and all(i.is_finished for i in inboxes)
        # Of the time that has not come yet nothing is known, not even that it was quiet.
        until_ns = max(min(end_ns, wall_ns()), number * tick_ns)
        yield Epoch(
            number=number,
            tick_ns=until_ns if is_final or is_stopping else end_ns,
            batches=taken.batches,
            rejected=taken.rejected,
            superseded=taken.superseded,
            positions=taken.positions,
            is_final=is_final,
        )
        if is_final or is_stopping:
            return
        number = max(wall_ns() // tick_ns, number + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenRows:
    """Rows that have come up to a tick; its attributes are those of :class:`.Epoch`."""

    batches: tuple[tuple[str, pl.DataFrame], ...] = ()
    rejected: tuple[tuple[str, pl.DataFrame], ...] = ()
    superseded: tuple[tuple[str, int], ...] = ()
    positions: Mapping[str, Mapping[str, Position]] = field(default_factory=dict)


def take_waiting(inboxes: Sequence[Inbox], limits: Limits) -> TakenRows:
    """What waits in the inboxes, stamped with its receipt; of each at most ``max_epoch_rows``."""
    batches: list[tuple[str, pl.DataFrame]] = []
    rejected: list[tuple[str, pl.DataFrame]] = []
    superseded: list[tuple[str, int]] = []
    positions: dict[str, dict[str, Position]] = {}
    for inbox in inboxes:
        taken = inbox.take(most_rows=limits.max_epoch_rows)
        if taken.superseded:
            superseded.append((inbox.source, taken.superseded))
        for chunk, received_ns in taken.chunks:
            if chunk.frame.height:
                stamp = pl.lit(received_ns, dtype=pl.Int64).alias(RECEIVED_NS)
                batches.append((inbox.source, chunk.frame.with_columns(stamp)))
            if chunk.position is not None:
                positions.setdefault(inbox.source, {})[chunk.origin] = chunk.position
            if chunk.rejected.height:
                rejected.append((inbox.source, chunk.rejected))
    return TakenRows(
        batches=join_batches(batches),
        rejected=tuple(rejected),
        superseded=tuple(superseded),
        positions=positions,
    )
