"""What keeps a run from working on this machine, found before it starts, each with its remedy.

A check looks at one thing (the disk, a clock, a database) and says what it found. It asks the
world through a :class:`World`, which is passed in, so that a test can have a full disk or a clock
that is wrong. Nothing is changed by looking: no table is made, no file is left.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from packaging.requirements import Requirement

from sightline.act.ledger_database import (
    LEDGER_VERSION,
    ledger_engine,
    metadata,
    schema_version,
    shown,
)
from sightline.errors import SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import NS_PER_S
from sightline.runtime.pipeline_file import find_problems
from sightline.runtime.service_answers import Answer, ask_service

_TIME_ERROR = 5  # of adjtimex(2): nothing keeps the clock right
_OLDEST_NS = 1_735_689_600 * NS_PER_S  # 2025: before this package was written
_SHOWN_CHARS = 200


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: configuration, versions, clock, disk, ledger or service.
        where: the file, folder, package or address; without what may be secret.
        state: how it ended.
        found: what is there, for a person.
        remedy: what to do; ``""`` where there is nothing to do.
    """

    check: str
    where: str
    state: State
    found: str
    remedy: str = ""


def _ok(check: str, where: str, found: str) -> Finding:
    return Finding(check=check, where=where, state=State.OK, found=found)


def _warning(check: str, where: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, where=where, state=State.WARNING, found=found, remedy=remedy)


def _fault(check: str, where: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, where=where, state=State.FAULT, found=found, remedy=remedy)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("sightline") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _is_clock_kept() -> bool | None:
    if sys.platform != "linux":
        return None
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))) != _TIME_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the checks ask of this machine.

    Attributes:
        wall_ns: the clock, UTC ns.
        is_clock_kept: whether something (NTP, PTP) keeps it right; None: this system cannot tell.
        free_bytes: of the file system that a folder is on.
        installed_version: of a package; None: it is not there.
        requirements: of the installed package Sightline, as its metadata writes them.
    """

    wall_ns: Callable[[], int] = time.time_ns
    is_clock_kept: Callable[[], bool | None] = _is_clock_kept
    free_bytes: Callable[[Path], int] = _free_bytes
    installed_version: Callable[[str], str | None] = _installed_version
    requirements: Callable[[], Sequence[str]] = _requirements


def examine(
    *,
    pipeline: Path | None = None,
    out: Path | None = None,
    ledger: str | None = None,
    services: Sequence[str] = (),
    world: World = World(),
    limits: Limits = DEFAULT_LIMITS,
) -> list[Finding]:
    """Look at everything that a run with these would need.

    Args:
        pipeline: its file.
        out: the folder that the run would write to, or the one it would be made in.
        ledger: address of a database.
        services: addresses of brokers, receivers and buckets; see :func:`.ask_service`.
        world: this machine.
        limits: ``doctor_answer_s``, ``doctor_skew_s`` and ``doctor_free_bytes``.
    """
    found = [*_versions(world), *_clock(world)]
    if pipeline is not None:
        found += _configuration(pipeline)
    if out is not None:
        found += _disk(out, world, limits)
    if ledger is not None:
        found += _ledger(ledger, world, limits)
    for address in services:
        found += _service(ask_service(address, limits=limits), world, limits)
    return found


# --- this machine ---------------------------------------------------------------------------------


def _versions(world: World) -> Iterator[Finding]:
    """Each package that Sightline needs is there, and new enough."""
    faults = []
    for text in world.requirements():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        version = world.installed_version(wanted.name)
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            faults.append(
                _fault(
                    "versions",
                    wanted.name,
                    version or "not installed",
                    f"pip install '{wanted.name}{wanted.specifier}'",
                )
            )
    yield from faults
    if not faults:
        yield _ok(
            "versions",
            f"Python {sys.version.split()[0]}",
            "every package that Sightline needs is new enough",
        )


def _clock(world: World) -> Iterator[Finding]:
    now_ns = world.wall_ns()
    if now_ns < _OLDEST_NS:
        yield _fault(
            "clock",
            "this machine",
            f"{_utc(now_ns)}, which is before Sightline was written",
            "set the clock (timedatectl set-ntp true): every row would be of the future",
        )
        return
    now = _utc(now_ns)
    if world.is_clock_kept() is False:
        yield _warning("clock", "this machine", f"{now}, which nothing keeps right",
                       "start a time service (chronyd, systemd-timesyncd)")  # fmt: skip
        return
    yield _ok("clock", "this machine", now)


def _utc(time_ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns // NS_PER_S))


def _disk(out: Path, world: World, limits: Limits) -> Iterator[Finding]:
    """The folder, or the nearest one above it that is there, takes files and has room."""
    folder = out.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        yield _fault("disk", str(out), f"{folder} is no folder", "give another --out")
        return
    free = world.free_bytes(folder)
    if free < limits.doctor_free_bytes:
        yield _fault(
            "disk",
            str(folder),
            f"{free / 1e6:,.1f} MB free",
            f"make room for {limits.doctor_free_bytes / 1e6:,.0f} MB: sightline prune RUN, "
            "or an --out on another disk",
        )
        return
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".sightline-doctor-") as file:
            file.write(b"sightline")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield _fault(
            "disk",
            str(folder),
            f"no file can be written: {error.strerror or type(error).__name__}",
            f"mount it for writing and let the user {os.geteuid()} write (chown, chmod), or "
            "give another --out",
        )
        return
    yield _ok("disk", str(folder), f"{free / 1e9:,.1f} GB free")


def _configuration(pipeline: Path) -> Iterator[Finding]:
    problems = find_problems(pipeline)
    for problem in problems:
        yield _fault(
            "configuration",
            problem.where,
            f"expected {problem.expected}, got {problem.got}",
            problem.action,
        )
    if not problems:
        yield _ok("configuration", str(pipeline), "nothing wrong")


# --- the database ---------------------------------------------------------------------------------

_SAID: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|no password supplied|no pg_hba\.conf entry",
        "user or password refused",
        "mend user and password in the address of the ledger, or in the secret that it comes from",
    ),
    (
        r'database "[^"]*" does not exist',
        "no such database",
        "create it (createdb NAME), or mend the name in the address",
    ),
    (
        r"[Cc]onnection refused|could not connect|timeout expired|timed out|"
        r"[Nn]o route|[Uu]nreachable|failed to resolve|Name or service not known",
        "no answer",
        "start PostgreSQL, open the port in the firewall, or mend host and port in the address",
    ),
    (
        r"too many clients|remaining connection slots",
        "no connection is free",
        "raise max_connections, or close what holds them: SELECT * FROM pg_stat_activity",
    ),
    (
        r"permission denied",
        "not allowed to read it",
        "grant the user of the ledger its tables: GRANT ALL ON ALL TABLES IN SCHEMA …",
    ),
    (
        r"database disk image is malformed|file is not a database",
        "a damaged file",
        "move it away and resume the run: the ledger is rebuilt from the log",
    ),
)
"""What a database says, what it means, and what to do."""


def _ledger(url: str, world: World, limits: Limits) -> Iterator[Finding]:
    try:
        engine = ledger_engine(url, connect_s=limits.doctor_answer_s)
    except SightlineError as error:
        yield _fault(
            "ledger", error.where, f"expected {error.expected}, got {error.got}", error.action
        )
        return
    where = shown(engine.url)
    path = engine.url.database or ""
    try:
        if engine.url.get_backend_name() == "sqlite" and path and not Path(path).exists():
            yield _warning(
                "ledger",
                where,
                "no file",
                "the first run makes it; mend the address if there should be one",
            )
            return
        with engine.connect() as connection:
            yield from _tables(connection, where)
            yield from _database_clock(connection, where, world, limits)
    except sa.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        text = " ".join(str(cause).split())
        found, remedy = next(
            ((found, remedy) for said, found, remedy in _SAID if re.search(said, text)),
            (text[:_SHOWN_CHARS], "see the log of the database"),
        )
        yield _fault("ledger", where, found, remedy)
    finally:
        engine.dispose()


def _tables(connection: sa.Connection, where: str) -> Iterator[Finding]:
    there = set(sa.inspect(connection).get_table_names())
    again = "move the ledger away and resume the run: it is rebuilt from the log"
    is_file = connection.dialect.name == "sqlite"
    if schema_version.name not in there:
        yield _warning("ledger", where, "no tables", "the first run makes them")
        return
    versions = list(connection.scalars(sa.select(schema_version.c.version).limit(2)))
    if versions != [LEDGER_VERSION]:
        yield _fault(
            "ledger",
            where,
            f"tables of version {', '.join(map(str, versions)) or 'none'}, not {LEDGER_VERSION}",
            again if is_file else "sightline schema upgrade --ledger …",
        )
        return
    missing = sorted(set(metadata.tables) - there)
    if missing:
        yield _fault("ledger", where, f"without the tables {', '.join(missing)}", again)
        return
    yield _ok("ledger", where, f"tables of version {LEDGER_VERSION}")


def _database_clock(
    connection: sa.Connection, where: str, world: World, limits: Limits
) -> Iterator[Finding]:
    if connection.dialect.name != "postgresql":
        return
    theirs_s = connection.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())"))
    yield _skew(where, round(float(theirs_s or 0) * NS_PER_S), world, limits)
    is_lossy = connection.scalar(sa.text("SHOW fsync")) == "off"
    if is_lossy:
        yield _warning(
            "ledger",
            where,
            "fsync is off: what it says is stored may be gone after a power cut",
            "set fsync = on in postgresql.conf and reload",
        )


def _skew(where: str, theirs_ns: int, world: World, limits: Limits) -> Finding:
    skew_s = (world.wall_ns() - theirs_ns) / NS_PER_S
    found = f"this machine is {abs(skew_s):,.1f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) <= limits.doctor_skew_s:
        return _ok("clock", where, found)
    remedy = "set both clocks by one time service (chronyc makestep): see which of them is wrong"
    return _fault("clock", where, found, remedy)


# --- services -------------------------------------------------------------------------------------


def _service(answer: Answer, world: World, limits: Limits) -> Iterator[Finding]:
    yield Finding(
        check="service",
        where=answer.where,
        state=State(answer.state),
        found=answer.found,
        remedy=answer.remedy,
    )
    if answer.time_ns is not None:
        # A date in a header is of whole seconds.
        yield _skew(answer.where, answer.time_ns + NS_PER_S // 2, world, limits)
