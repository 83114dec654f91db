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

_LOOK_S = 2.0
"""So often it is looked whether the machines are still there, while an actor waits for a core."""
_NO_USAGE_REPORTS = {"RAY_USAGE_STATS_ENABLED": "0"}


class PartitionActor:
    """What runs in an actor."""

    def __init__(self) -> None:
        self._hosted: HostedPartitions | None = None
        self._answer = b""

    def open(self, start: bytes) -> bytes:
        """Open the logs of its partitions; the first answer."""
        try:
            self._hosted = HostedPartitions(start, check_alive=lambda: None)
            self._answer = self._hosted.opened()
        except Exception as error:  # noqa: BLE001 - told to the coordinator
            self._answer, self._hosted = fault_of(error, where=_where()), None
        return self._answer

    def handle(self, message: bytes) -> bytes:
        """The answer to a message, empty where it asks for none; after a fault always the fault."""
        if self._hosted is None:
            return self._answer
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
    """One actor, seen from the coordinator. Every wait for it has an end."""

    def __init__(self, cluster: RayCluster, start: bytes, limits: Limits) -> None:
        self._cluster, self._ray = cluster, cluster.ray
        self._limits = limits
        actor = self._ray.remote(PartitionActor)
        # It is not restarted by Ray, which knows nothing of what was in flight.
        self._actor = actor.options(
            num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        ).remote()
        self._placed = self._actor.__ray_ready__.remote()
        self._waited_s = 0.0
        self._last = self._actor.open.remote(start)

    def send(self, message: bytes) -> None:
        """Say something without waiting; messages are heard in order."""
        self._last = self._actor.handle.remote(message)

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """The answer to what was asked last.

        Raises:
            WorkerError: the actor or its machine has died, found no place, or does not answer in
                time.
        """
        from ray.exceptions import GetTimeoutError  # noqa: PLC0415 - an extra

        while self._placed is not None:
            self._await_place()
        try:
            return answer_of(self._get(self._last, self._limits.worker_answer_s))
        except GetTimeoutError as error:
            raise WorkerError(
                expected=f"an answer within {self._limits.worker_answer_s:g} s",
                got="none: its machine is stopped, or has no time for it",
                where="actor of the run",
                action="see the cluster (ray status), then run again with --resume: committed "
                "work is kept",
            ) from error

    def _await_place(self) -> None:
        """Wait a little for a core; a machine that has died meanwhile took its cores with it."""
        from ray.exceptions import GetTimeoutError  # noqa: PLC0415 - an extra

        with contextlib.suppress(GetTimeoutError):
            self._get(self._placed, _LOOK_S)
            self._placed = None
            return
        self._waited_s += _LOOK_S
        if self._cluster.has_lost_cores() or self._waited_s > self._limits.worker_start_s:
            raise WorkerError(
                expected=f"a core for each actor within {self._limits.worker_start_s:g} s",
                got="none: the cluster has too few that are free, or a machine has died",
                where="actor of the run",
                action="see what the cluster has (ray status), give it a core for each worker or "
                "give fewer --workers; then run again with --resume: committed work is kept",
            )

    def _get(self, asked: Any, longest_s: float) -> Any:
        from ray.exceptions import GetTimeoutError, RayError  # noqa: PLC0415 - an extra

        try:
            return self._ray.get(asked, timeout=longest_s)
        except GetTimeoutError:
            raise
        except RayError as error:
            raise WorkerError(
                expected="an actor that lives as long as the run",
                got=f"{type(error).__name__}: it or its machine has died",
                where="actor of the run",
                action="see the cluster (ray status), then run again with --resume: committed "
                "work is kept",
            ) from error

    def close(self) -> None:
        """Let it close its logs, and end it."""
        from ray.exceptions import RayError  # noqa: PLC0415 - an extra

        with contextlib.suppress(RayError, TimeoutError):  # what it committed is kept
            self._ray.get(
                self._actor.handle.remote(pack({"say": "close"})),
                timeout=self._limits.worker_join_s,
            )
        self._ray.kill(self._actor)


class RayCluster:
    """The cluster that this process is a member of."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray
        self._used = 0

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

    def workers(self, wanted: int) -> int:
        """How many of the wanted workers the machines that live have a core for; at least one.

        A run that goes on after the death of a machine has fewer than it began with, which changes
        no decision.
        """
        self._used = max(min(wanted, self._cores()), 1)
        return self._used

    def has_lost_cores(self) -> bool:
        """Whether there are fewer cores than :meth:`workers` counted on."""
        return self._cores() < self._used

    def _cores(self) -> int:
        alive = (node for node in self.ray.nodes() if node["Alive"])
        return sum(int(node["Resources"].get("CPU", 0)) for node in alive)

    def start_worker(self, start: bytes, limits: Limits) -> RayWorker:
        """An actor for some partitions."""
        return RayWorker(self, start, limits)
