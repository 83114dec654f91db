"""One case: a scratch copy of its folder, commands run in it, a check that says what fell short."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import sightline
from benchmarks import cases

DEFAULT_TIMEOUT_S = 120.0
"""How long one command of a case may take, in seconds; longer is a shortcoming of its own."""

TIMED_OUT_RC = 124
"""The exit status given to a command that ran past its time, as coreutils' `timeout` does."""


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    Attributes:
        rc: Its exit status; 124 when it ran past its time, negative when a signal ended it.
        out: What it wrote on standard output.
        err: What it wrote on standard error.
        wall_s: How long it ran, in seconds.
    """

    rc: int
    out: str
    err: str
    wall_s: float

    @property
    def text(self) -> str:
        """Both streams, output first."""
        return self.out + self.err

    @property
    def is_defect(self) -> bool:
        """It ended with a traceback, a panic, a signal, or past its time: never right."""
        signs = ("Traceback (most recent call last)", "panicked at", "terminate called")
        return self.rc < 0 or self.rc in (TIMED_OUT_RC, 134) or any(s in self.text for s in signs)


@dataclass(frozen=True)
class Case:
    """A case as its check sees it.

    Attributes:
        name: Area and folder, as in ``telemetry/01-one-bad-time-cell-loses-the-file``.
        folder: A writable copy of its folder; its neighbours lie beside it.
        environment: What its commands see beside the environment of this process.
    """

    name: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *command: str | Path,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        stdin: str | None = None,
        folder: Path | None = None,
    ) -> Finished:
        """Run a command in the case's folder; ``sightline`` and ``python`` are those of this run.

        Args:
            command: The words of the command.
            timeout_s: After how many seconds it is ended.
            stdin: What it reads on standard input; nothing when None.
            folder: Where it runs, when not in the case's folder.
        """
        words = [str(word) for word in command]
        if words[0] == "sightline":
            words[:1] = [sys.executable, "-c", "from sightline.cli import main; main()"]
        elif words[0] == "python":
            words[0] = sys.executable
        begin_s = time.monotonic()
        try:
            done = subprocess.run(
                words,
                cwd=folder or self.folder,
                env={**os.environ, **self.environment},
                input=stdin if stdin is not None else "",
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
            rc, out, err = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            rc, out, err = TIMED_OUT_RC, _words(late.stdout), _words(late.stderr)
        return Finished(rc=rc, out=out, err=err, wall_s=time.monotonic() - begin_s)

    def script(self, name: str = "run.sh", *, timeout_s: float = 300.0) -> Finished:
        """Run a shell script of the case's folder, with `sightline` and `python` on its path."""
        return self.run("bash", name, timeout_s=timeout_s)


Check = Callable[[Case], Iterator[str]]
"""Yields one sentence for each thing that fell short; nothing when the case holds."""


@dataclass(frozen=True)
class Result:
    """What a check found: no shortcomings when the case holds, None when it has no check."""

    name: str
    shortcomings: tuple[str, ...] | None
    wall_s: float


_CASE = "case_names"
"""The attribute of a check that holds the names of its cases."""


def case(*names: str) -> Callable[[Check], Check]:
    """Say which cases a function checks, as in ``@case("telemetry/01-one-bad-time-cell…")``."""

    def mark(check: Check) -> Check:
        setattr(check, _CASE, names)
        return check

    return mark


def checks() -> dict[str, Check]:
    """Every check of this package, by the name of its case.

    Raises:
        ValueError: Two checks name the same case.
    """
    found: dict[str, Check] = {}
    for module in pkgutil.iter_modules(cases.__path__, cases.__name__ + "."):
        for value in vars(importlib.import_module(module.name)).values():
            for name in getattr(value, _CASE, ()):
                if found.setdefault(name, value) is not value:
                    raise ValueError(f"two checks for {name}")
    return found


def run_cases(root: Path, *, only: str = "", source: Path | None = None) -> Iterator[Result]:
    """Run the check of every case folder below `root` (area/folder) whose name holds `only`.

    The folders are copied to a scratch folder first, whole: cases share what lies beside them.

    Args:
        root: Folder of the areas.
        only: What a name must hold.
        source: The ``src`` of another checkout, whose commands are held against the cases; what
            a check reads in its own process stays that of this one. None: this one's.
    """
    known = checks()
    names = sorted(
        f"{p.parent.parent.name}/{p.parent.name}" for p in root.glob("*/*/run.sh") if p.is_file()
    )
    with tempfile.TemporaryDirectory(prefix="sightline-cases-") as scratch:
        copy = Path(scratch) / "cases"
        shutil.copytree(root, copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(path.stat().st_mode | 0o600)
        for name in names:
            if only not in name:
                continue
            if name not in known:
                yield Result(name=name, shortcomings=None, wall_s=0.0)
                continue
            begin_s = time.monotonic()
            environment = _environment(copy, name, source)
            scene = Case(name=name, folder=copy / name, environment=environment)
            try:
                # Some checks start processes beside those of `Case.run`: they inherit it.
                with patch.dict(os.environ, PYTHONPATH=environment["PYTHONPATH"]):
                    short = tuple(known[name](scene))
            except Exception as error:  # noqa: BLE001 - a check that breaks is a case that fell short
                short = (f"its check broke: {type(error).__name__}: {error}",)
            yield Result(name=name, shortcomings=short, wall_s=time.monotonic() - begin_s)


def _environment(copy: Path, name: str, source: Path | None) -> dict[str, str]:
    area = copy / name.split("/", maxsplit=1)[0]
    bin_dir = str(Path(sys.executable).parent)
    work = area / "scratch"
    work.mkdir(exist_ok=True)
    package = source.resolve() if source is not None else Path(sightline.__path__[0]).parent
    return {
        "PATH": bin_dir + os.pathsep + os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join((str(package), *(p for p in sys.path if p))),
        "SIGHTLINE_REPO": str(Path(cases.__path__[0]).parents[1]),
        "SIGHTLINE_SRC": str(package),
        "C": str(area),
        "W": str(work),
    }


def _words(stream: str | bytes | None) -> str:
    if stream is None:
        return ""
    return stream.decode(errors="replace") if isinstance(stream, bytes) else stream
