"""Partitions in worker processes: the same hosts, spoken to over pipes.

A worker is started as a program of its own, not through ``multiprocessing``: the main module of
the run is not imported again, and nothing is pickled. A message is a JSON line and raw bytes: rows
as Arrow IPC, decisions and summaries in the bytes that the log has.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from sightline import errors
from sightline.errors import InvariantViolation, SightlineError, WorkerError
from sightline.limits import Limits
from sightline.recorder import DirectoryStorage
from sightline.recorder.chain import LogOrigin
from sightline.records import Accounts, Decision
from sightline.runtime.engine.answerers import isolated_scorers
from sightline.runtime.engine.batches import decode_frame, encode_frame
from sightline.runtime.engine.guarding import Guard
from sightline.runtime.engine.hosting import (
    HostSettings,
    LocalHosting,
    PartitionEpoch,
    partition_name,
)
from sightline.runtime.engine.learning import Learning
from sightline.runtime.engine.logged_core import Committed, HostClocks
from sightline.runtime.engine.summary import Summary
from sightline.runtime.plan import Plan
from sightline.runtime.planner import plan_of_recipe, plan_recipe
from sightline.runtime.run_lock import WriteFence
from sightline.sense.admission import Share
from sightline.sense.source import Position

_PROGRAM = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[2]):
    sys.exit(0)
from sightline.runtime.engine.workers import work
work(int(sys.argv[1]), int(sys.argv[2]))
"""
"""A worker dies with its coordinator: the kernel sees to it (PR_SET_PDEATHSIG), also while it is
stopped or busy. One whose coordinator died before that was asked for finds another parent."""


# --- messages -------------------------------------------------------------------------------------


def pack(head: Mapping[str, Any], blobs: Iterable[bytes] = ()) -> bytes:
    """One message.

    >>> unpack(pack({"say": "feed"}, [b"ab", b""]))
    ({'say': 'feed'}, [b'ab', b''])
    """
    parts = list(blobs)
    line = json.dumps({**head, "blobs": [len(part) for part in parts]}).encode()
    return b"".join([line, b"\n", *parts])


def unpack(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Inverse of :func:`pack`."""
    line, _, body = message.partition(b"\n")
    head: dict[str, Any] = json.loads(line)
    found, at = [], 0
    for size in head.pop("blobs"):
        found.append(body[at : at + size])
        at += size
    return head, found


def _pack_epoch(partition: int, epoch: PartitionEpoch) -> bytes:
    head = {
        "say": "feed",
        "partition": partition,
        "number": epoch.number,
        "tick_ns": epoch.tick_ns,
        "is_complete": epoch.is_complete,
        "is_final": epoch.is_final,
        "batches": [source for source, _ in epoch.batches],
        "rejected": [source for source, _ in epoch.rejected],
        "superseded": list(epoch.superseded),
        "positions": {name: dict(streams) for name, streams in epoch.positions.items()},
    }
    frames = [*(share.rows for _, share in epoch.batches), *(frame for _, frame in epoch.rejected)]
    return pack(head, map(encode_frame, frames))


def _unpack_epoch(head: Mapping[str, Any], blobs: Sequence[bytes]) -> PartitionEpoch:
    frames = [decode_frame(blob) for blob in blobs]
    rows = len(head["batches"])
    return PartitionEpoch(
        number=head["number"],
        tick_ns=head["tick_ns"],
        is_complete=head["is_complete"],
        is_final=head["is_final"],
        batches=tuple(zip(head["batches"], map(Share.of, frames[:rows]), strict=True)),
        rejected=tuple(zip(head["rejected"], frames[rows:], strict=True)),
        superseded=tuple((source, rows) for source, rows in head["superseded"]),
        positions=head["positions"],
    )


def _pack_committed(committed: Sequence[Committed]) -> bytes:
    """Commits of key partitions: they command no machine, and have no alert desk."""
    heads, blobs = [], []
    for one in committed:
        heads.append(
            {
                "name": one.name,
                "sequences": [sequence for sequence, _ in one.decisions],
                "summaries": len(one.summaries),
                "through_sequence": one.through_sequence,
                "chain_hash": one.chain_hash,
                "accounts": asdict(one.accounts),
                "step_s": one.step_s,
                "stage_s": one.stage_s,
                "missed": one.missed,
                "fallbacks": one.fallbacks,
                "breakers": one.breakers,
                "at_bounds": one.at_bounds,
                "left_aside": one.left_aside,
                "advice": one.advice,
                "learning": [[name, asdict(found)] for name, found in one.learning],
            }
        )
        blobs += [decision.canonical_bytes() for _, decision in one.decisions]
        blobs += [summary.to_bytes() for summary in one.summaries]
    return pack({"committed": heads}, blobs)


def _unpack_committed(head: Mapping[str, Any], blobs: Sequence[bytes]) -> list[Committed]:
    found, rest = [], list(blobs)
    for one in head["committed"]:
        sequences, summaries = one["sequences"], one["summaries"]
        decisions = [Decision.from_bytes(blob) for blob in rest[: len(sequences)]]
        said = [Summary.from_bytes(b) for b in rest[len(sequences) : len(sequences) + summaries]]
        rest = rest[len(sequences) + summaries :]
        found.append(
            Committed(
                name=one["name"],
                decisions=tuple(zip(sequences, decisions, strict=True)),
                summaries=tuple(said),
                through_sequence=one["through_sequence"],
                chain_hash=one["chain_hash"],
                accounts=Accounts(**one["accounts"]),
                step_s=tuple(one["step_s"]),
                stage_s=tuple((stage, took_s) for stage, took_s in one["stage_s"]),
                missed=tuple(one["missed"]),
                fallbacks=tuple(one["fallbacks"]),
                breakers=tuple((stage, phase) for stage, phase in one["breakers"]),
                at_bounds=tuple((name, count) for name, count in one["at_bounds"]),
                left_aside=tuple((camera, why, n) for camera, why, n in one["left_aside"]),
                advice=tuple((camera, text) for camera, text in one["advice"]),
                learning=tuple((name, Learning(**plain)) for name, plain in one["learning"]),
            )
        )
    return found


def _pack_error(error: SightlineError) -> bytes:
    return pack(
        {
            "error": type(error).__name__,
            "expected": error.expected,
            "got": error.got,
            "where": error.where,
            "action": error.action,
        }
    )


def _raised(head: Mapping[str, Any]) -> SightlineError:
    known = getattr(errors, head["error"], InvariantViolation)
    found: SightlineError = known(
        expected=head["expected"], got=head["got"], where=head["where"], action=head["action"]
    )
    return found


# --- the coordinator's side -----------------------------------------------------------------------


class WorkerLink(Protocol):
    """One worker, seen from the coordinator, wherever it is."""

    def send(self, message: bytes) -> None:
        """Say something without waiting; raises WorkerError where it is gone."""

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """The answer to what was asked last; raises WorkerError, or what the worker raised."""

    def close(self) -> None:
        """End it; it may have ended."""


def answer_of(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """An answer unpacked; the error that it is, raised."""
    head, blobs = unpack(message)
    if "error" in head:
        raise _raised(head)
    return head, blobs


class WorkerHosting:
    """Hosts partitions in worker processes.

    Epochs are sent ahead without waiting; :meth:`commit` is the point where all workers meet, so
    at most the epochs between two commits are in flight.

    Args:
        plan: the checked pipeline, of rows alone.
        run: the run directory.
        settings: how partitions are hosted.
        fence: of this opening of the run; every worker has it too.
        workers: processes.
        durable: force each commit to the disk.
        start_worker: starts one, given its first message; None: as a process of this machine.
    """

    def __init__(
        self,
        plan: Plan,
        run: Path,
        settings: HostSettings,
        *,
        fence: WriteFence,
        workers: int,
        durable: bool,
        start_worker: Callable[[bytes, Limits], WorkerLink] | None = None,
    ) -> None:
        assert settings.origin is not None
        partitions = range(plan.pipeline.partitions)
        self._of = {p: p % workers for p in partitions}
        start = {
            **plan_recipe(plan),
            "run": str(run),
            "origin": asdict(settings.origin),
            "fence": {"manifest": fence.manifest, "folder_id": list(fence.folder_id)},
            "durable": durable,
            "references": sorted(settings.references),
            "models": dict(settings.models),
            "has_deadlines": settings.has_deadlines,
            "checkpoint_epochs": settings.checkpoint_epochs,
            "limits": asdict(settings.limits),
        }
        shares = [[p for p in partitions if p % workers == w] for w in range(workers)]
        self._workers = [
            (start_worker or WorkerProcess)(
                pack({**start, "partitions": share}, [settings.configuration]), settings.limits
            )
            for share in shares
        ]
        self._committed_epochs: dict[int, int] = {}
        self._recoveries: dict[str, str] = {}
        self._finished: dict[int, bool] = {}
        self._positions: dict[int, Mapping[str, Mapping[str, Position]]] = {}
        try:
            self._await_opened()
        except BaseException:
            self.close()
            raise

    def _await_opened(self) -> None:
        for worker in self._workers:
            head, _ = worker.receive()
            self._finished.update({int(p): v for p, v in head["finished"].items()})
            self._committed_epochs.update({int(p): v for p, v in head["epochs"].items()})
            self._positions.update({int(p): v for p, v in head["positions"].items()})
            self._recoveries.update(head["recoveries"])

    @property
    def committed_epochs(self) -> dict[int, int]:
        return self._committed_epochs

    @property
    def finished(self) -> dict[int, bool]:
        return self._finished

    @property
    def positions(self) -> dict[int, Mapping[str, Mapping[str, Position]]]:
        return self._positions

    @property
    def recoveries(self) -> dict[str, str]:
        return self._recoveries

    def feed(self, partition: int, epoch: PartitionEpoch) -> None:
        self._workers[self._of[partition]].send(_pack_epoch(partition, epoch))

    def begin(self, controls: Sequence[dict[str, Any]]) -> None:
        for worker in self._workers:
            worker.send(pack({"say": "begin", "controls": list(controls)}))

    def feed_control(self, control: dict[str, Any]) -> None:
        for worker in self._workers:
            worker.send(pack({"say": "control", "control": control}))

    def feed_clock(self, report: dict[str, Any]) -> None:
        self._workers[self._of[0]].send(pack({"say": "clock", "report": report}))

    def feed_missed(self, name: str, missed: Mapping[str, Any]) -> None:
        for partition, worker in self._of.items():
            if partition_name(partition) == name:
                message = pack({"say": "missed", "name": name, "missed": dict(missed)})
                self._workers[worker].send(message)

    def commit(self) -> list[Committed]:
        for worker in self._workers:
            worker.send(pack({"say": "commit"}))
        found = [c for worker in self._workers for c in _unpack_committed(*worker.receive())]
        return sorted(found, key=lambda c: c.name)

    def summaries_after(self, epoch: int) -> list[Summary]:
        for worker in self._workers:
            worker.send(pack({"say": "summaries", "epoch": epoch}))
        found = [Summary.from_bytes(b) for worker in self._workers for b in worker.receive()[1]]
        return sorted(found, key=lambda s: s.partition)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


class WorkerProcess:
    """One worker process of this machine, seen from the coordinator.

    Args:
        start: the first message.
        limits: ``max_entry_bytes``, ``worker_join_s`` and ``worker_answer_s``.
    """

    def __init__(self, start: bytes, limits: Limits) -> None:
        self._most_bytes = limits.max_entry_bytes
        self._join_s = limits.worker_join_s
        self._answer_s = limits.worker_answer_s
        self._pipe, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a library prints must not get into a document of the run
                pass_fds=[theirs.fileno()],
                # One Polars thread per worker: the workers are the parallelism.
                env={**os.environ, "POLARS_MAX_THREADS": "1"},
                process_group=0,  # the interrupt of a terminal is for the run
            )
        self.send(start)

    def send(self, message: bytes) -> None:
        try:
            self._pipe.send_bytes(message)
        except OSError as error:
            raise self._died() from error

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        try:
            if not self._pipe.poll(self._answer_s):
                raise WorkerError(
                    expected=f"an answer within {self._answer_s:g} s",
                    got="none: it is stopped, or the machine has no time for it",
                    where=f"worker process {self._process.pid}",
                    action="run again with --resume: committed work is kept",
                )
            message = self._pipe.recv_bytes(self._most_bytes)
        except (EOFError, OSError) as error:
            raise self._died() from error
        return answer_of(message)

    def _died(self) -> SightlineError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._join_s)
        with contextlib.suppress(EOFError, OSError):
            if self._pipe.poll():
                head, _ = unpack(self._pipe.recv_bytes(self._most_bytes))
                if "error" in head:
                    return _raised(head)
        return WorkerError(
            expected="a worker process that lives as long as the run",
            got=_ending(self._process.returncode),
            where=f"worker process {self._process.pid}",
            action="see who ended it (the system, if memory was short), then run again with "
            "--resume: committed work is kept",
        )

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it may have ended already, which is what is wanted
            self._pipe.send_bytes(pack({"say": "close"}))
        try:
            self._process.wait(self._join_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pipe.close()


def _ending(returncode: int | None) -> str:
    """How a process ended, for people."""
    if returncode is None:
        return "one that closed its pipe and goes on"
    if returncode >= 0:
        return f"one that ended with exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"one that was killed ({name})"


# --- the worker's side ----------------------------------------------------------------------------


class HostedPartitions:
    """The side that hosts: made from the first message, asked with those after it.

    Args:
        message: what :class:`WorkerHosting` says first.
        check_alive: raises EOFError where the coordinator is gone.
    """

    def __init__(self, message: bytes, *, check_alive: Callable[[], None]) -> None:
        start, (configuration,) = unpack(message)
        self._limits = limits = Limits(**start["limits"])
        origin = LogOrigin(**start["origin"])
        fence = WriteFence(
            Path(start["run"]),
            start["fence"]["manifest"],
            tuple(start["fence"]["folder_id"]),
            origin.epoch,
        )

        def check_writer() -> None:
            check_alive()
            fence.check()

        plan = plan_of_recipe(start)
        self._hosting = LocalHosting(
            plan,
            start["partitions"],
            DirectoryStorage(
                Path(start["run"]),
                durable=start["durable"],
                limits=limits,
                check_writer=check_writer,
            ),
            HostSettings(
                configuration=configuration,
                references=frozenset(start["references"]),
                models=start["models"],
                checkpoint_epochs=start["checkpoint_epochs"],
                limits=limits,
                origin=origin,
            ),
            clocks=HostClocks(wall_ns=time.time_ns, monotonic_s=time.monotonic),
            guard=Guard(
                plan,
                scorers=isolated_scorers(plan, has_deadlines=start["has_deadlines"], limits=limits),
                monotonic_s=time.monotonic,
                has_deadlines=start["has_deadlines"],
                limits=limits,
            ),
        )

    @property
    def most_bytes(self) -> int:
        """Of one message."""
        return self._limits.max_entry_bytes

    def opened(self) -> bytes:
        """The first answer: where the partitions are."""
        hosting = self._hosting
        return pack(
            {
                "epochs": hosting.committed_epochs,
                "finished": hosting.finished,
                "positions": hosting.positions,
                "recoveries": hosting.recoveries,
            }
        )

    def handle(self, message: bytes) -> bytes | None:
        """Do what a message says, and give the answer of one that asks.

        Raises:
            EOFError: it was the last.
        """
        hosting = self._hosting
        head, blobs = unpack(message)
        match head["say"]:
            case "feed":
                hosting.feed(head["partition"], _unpack_epoch(head, blobs))
            case "begin":
                hosting.begin(head["controls"])
            case "control":
                hosting.feed_control(head["control"])
            case "clock":
                hosting.feed_clock(head["report"])
            case "missed":
                hosting.feed_missed(head["name"], head["missed"])
            case "commit":
                return _pack_committed(hosting.commit())
            case "summaries":
                said = hosting.summaries_after(head["epoch"])
                return pack({}, (summary.to_bytes() for summary in said))
            case _:
                hosting.close()
                raise EOFError
        return None


def fault_of(error: Exception, *, where: str) -> bytes:
    """What the coordinator is told of an error; one that nobody foresaw with its trace."""
    if not isinstance(error, SightlineError):
        error = InvariantViolation(
            expected="a worker without defects",
            got=f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error))}",
            where=where,
            action="keep the run directory and report it",
        )
    return _pack_error(error)


def work(descriptor: int, coordinator: int) -> None:
    """Main of a worker process.

    Args:
        descriptor: of the pipe to the coordinator.
        coordinator: its process id. Without it the worker writes nothing any more.
    """
    pipe = Connection(descriptor)

    def check_alive() -> None:
        if os.getppid() != coordinator:
            raise EOFError  # the coordinator is gone: as if its pipe had said so

    try:
        hosted = HostedPartitions(pipe.recv_bytes(), check_alive=check_alive)
        pipe.send_bytes(hosted.opened())
        while True:
            answer = hosted.handle(pipe.recv_bytes(hosted.most_bytes))
            if answer is not None:
                pipe.send_bytes(answer)
    except EOFError:
        return  # the coordinator is gone, or wants no more; what was committed is safe
    except Exception as error:  # noqa: BLE001 - told to the coordinator, a defect with its trace
        with contextlib.suppress(OSError):  # nobody is left to be told
            pipe.send_bytes(fault_of(error, where=f"worker process {os.getpid()}"))
