"""Partitions in actors of a Ray cluster: the same hosts, the same messages, Ray's transport.

Ray places the actors, on as many machines as there are, and says when one has died; the run then
goes on from its checkpoints (:func:`.run_options.restarted`). All machines see the run directory
at the same path. An actor that is cut off and comes back is fenced by the epoch of the opening, as
a worker process is.

What is sent are the bytes of :mod:`.workers`. Ray itself moves code and bytes between its processes
as pickles, within a cluster whose members trust each other: who reaches its ports runs code there.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from sightline.errors import UsageError, WorkerError
from sightline.limits import Limits
from sightline.runtime.engine.workers import HostedPartitions, answer_of, fault_of, pack

_NO_USAGE_REPORTS = {"RAY_USAGE_STATS_ENABLED": "0"}


class PartitionActor:
    """What runs in an actor.

    Args:
        start: the first message.
    """

    def __init__(self, start: bytes) -> None:
        self._hosted: HostedPartitions | None = None
        self._answer: bytes | None = None
        try:
            self._hosted = HostedPartitions(start, check_alive=lambda: None)
            self._answer = self._hosted.opened()
        except Exception as error:  # noqa: BLE001 - told to the coordinator
            self._answer, self._hosted = fault_of(error, where=_where()), None

    def opened(self) -> bytes:
        """The first answer."""
        assert self._answer is not None
        return self._answer

    def handle(self, message: bytes) -> bytes:
        """The answer to a message, empty where it asks for none; after a fault always the fault."""
        if self._hosted is None:
            return self._answer or b""
        try:
            return self._hosted.handle(message) or b""
        except EOFError:
            return b""
        except Exception as error:  # noqa: BLE001 - told to the coordinator with the next answer
            self._answer, self._hosted = fault_of(error, where=_where()), None
            return self._answer


def _where() -> str:
    return f"actor in process {os.getpid()} of {os.uname().nodename}"


class RayWorker:
    """One actor, seen from the coordinator."""

    def __init__(self, ray: Any, start: bytes, limits: Limits) -> None:
        self._ray = ray
        self._answer_s = limits.worker_answer_s
        self._join_s = limits.worker_join_s
        actor = ray.remote(PartitionActor)
        # It is not restarted by Ray, which knows nothing of what was in flight.
        self._actor = actor.options(
            num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        ).remote(start)
        self._last = self._actor.opened.remote()

    def send(self, message: bytes) -> None:
        """Say something without waiting; messages are heard in order."""
        self._last = self._actor.handle.remote(message)

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """The answer to what was asked last.

        Raises:
            WorkerError: the actor or its machine has died, or does not answer in time.
        """
        from ray.exceptions import GetTimeoutError, RayError  # noqa: PLC0415 - an extra

        try:
            message = self._ray.get(self._last, timeout=self._answer_s)
        except GetTimeoutError as error:
            raise WorkerError(
                expected=f"an answer within {self._answer_s:g} s",
                got="none: it waits for a free core, or the machine has no time for it",
                where="actor of the run",
                action="give the cluster a core for each worker, or fewer --workers; then "
                "run again with --resume: committed work is kept",
            ) from error
        except RayError as error:
            raise WorkerError(
                expected="an actor that lives as long as the run",
                got=f"{type(error).__name__}: it or its machine has died",
                where="actor of the run",
                action="see the cluster (ray status), then run again with --resume: committed "
                "work is kept",
            ) from error
        return answer_of(message)

    def close(self) -> None:
        """Let it close its logs, and end it."""
        from ray.exceptions import RayError  # noqa: PLC0415 - an extra

        with contextlib.suppress(RayError, TimeoutError):  # what it committed is kept
            self._ray.get(self._actor.handle.remote(pack({"say": "close"})), timeout=self._join_s)
        self._ray.kill(self._actor)


class RayCluster:
    """The cluster that this process is a member of."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    @classmethod
    def joined(cls) -> RayCluster:
        """Join the cluster at ``RAY_ADDRESS``; without one, start one on this machine.

        Usage reports, which Ray sends unless told otherwise, are off.

        Raises:
            UsageError: Ray is not installed.
            WorkerError: the cluster does not answer.
        """
        os.environ.update(_NO_USAGE_REPORTS)
        try:
            import ray  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            raise UsageError(
                expected="Ray, for --on ray",
                got=f"no module {error.name}",
                where="--on",
                action="pip install 'sightline[ray]'",
            ) from error
        if not ray.is_initialized():
            package = str(Path(__file__).parents[3])
            paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = {"PYTHONPATH": os.pathsep.join(paths), "POLARS_MAX_THREADS": "1"}
            try:
                ray.init(
                    address=os.environ.get("RAY_ADDRESS", "local"),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    runtime_env={"env_vars": environment | _NO_USAGE_REPORTS},
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise WorkerError(
                    expected="a cluster that answers",
                    got=f"{type(error).__name__}: {error}"[:200],
                    where="RAY_ADDRESS",
                    action="start it (ray start --head), or unset the variable",
                ) from error
        return cls(ray)

    def start_worker(self, start: bytes, limits: Limits) -> RayWorker:
        """An actor for some partitions."""
        return RayWorker(self._ray, start, limits)
