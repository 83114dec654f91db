"""Options of the command line turned into sources and operator inputs."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyarrow import ArrowInvalid, parquet

from sightline.cli.console import print_trouble, utc
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import NS_PER_S
from sightline.registry import import_plugins
from sightline.runtime.engine.operator_inputs import in_ns
from sightline.runtime.plan import Plan
from sightline.sense import Source, open_source
from sightline.sense.files import FileSource
from sightline.sense.frames import VideoFile
from sightline.sense.opening import scheme_of, source_registry
from sightline.sense.source import path_of
from sightline.sense.yaml_form import read_document, read_json

_HEAD_BYTES = 1 << 16
"""Of a text file, by which its number of lines is estimated."""
_SHOWN_NAMES = 5
CONTROLS = (
    "acknowledge", "reset", "shelve", "unshelve", "mask", "put_back", "contacts"
)  # fmt: skip


def open_sources(
    plan: Plan,
    given: Sequence[str],
    *,
    options: Sequence[str] = (),
    wall_ns: Callable[[], int] = time.time_ns,
    is_live: bool = False,
) -> dict[str, Source]:
    """``NAME=LOCATION`` options as sources; each name must be one of the pipeline, once.

    Args:
        plan: the checked pipeline.
        given: ``NAME=LOCATION``; of a recording also ``NAME=FILE@START``.
        options: ``NAME.OPTION=VALUE``; they go before those of the pipeline.
        wall_ns: the clock, UTC ns.
        is_live: whether the run takes rows as they come.

    Raises:
        UsageError: an option of another form, recordings and live cameras in one run, or recordings
            of which only some say when they began.
        SourceError: a location that cannot be read.
    """
    wanted: dict[str, Any] = {**plan.contracts, **{n: c.contract for n, c in plan.cameras.items()}}
    plugins = import_plugins(plan.pipeline.plugins, where=plan.origin)
    told = parse_source_options(options, list(wanted))
    found: dict[str, Source] = {}
    for name, location in parse_locations(given, list(wanted)).items():
        place, starts = split_start(location) if name in plan.cameras else (location, {})
        found[name] = open_source(
            name,
            place,
            wanted[name],
            options={**_of_pipeline(plan, name), **starts, **told.get(name, {})},
            stdin=sys.stdin.buffer,
            wall_ns=wall_ns,
            registry=source_registry(plugins),
            is_live=is_live,
            tell=print_trouble,
        )
        _tell_ignored(found[name])
    _check_starts({n: found[n] for n in plan.cameras if n in found})
    live = {n for n in plan.cameras if n in found and not found[n].durable}
    recorded = {n for n in plan.cameras if n in found} - live
    if live and recorded:
        raise UsageError(
            expected="live cameras alone, or recordings alone",
            got=f"live {', '.join(sorted(live))}, recorded {', '.join(sorted(recorded))}",
            where="--source",
            action="serve the recording as a stream, or leave one kind out",
        )
    return found


def _tell_ignored(source: Source) -> None:
    """Which files lie where the source reads, but are not read; hidden ones nobody misses."""
    names = [name for name in source.ignored if not Path(name).name.startswith(".")]
    if names:
        more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
        shown = ", ".join(names[:_SHOWN_NAMES])
        print_trouble(f"source {source.name}: files that are not read: {shown}{more}")


def _of_pipeline(plan: Plan, name: str) -> dict[str, Any]:
    """Options of a source by the pipeline file, beside which a list of times lies."""
    options = dict(plan.pipeline.sources[name].options)
    times = options.get("times_file")
    if isinstance(times, str):
        options["times_file"] = str(Path(plan.folder) / times)
    return options


_YEAR_NS = 365 * 86_400 * NS_PER_S


def _check_starts(cameras: Mapping[str, Source]) -> None:
    """Decades between recordings of one run come of a start that was given for some of them."""
    starts = {n: s.start_ns for n, s in cameras.items() if isinstance(s, VideoFile)}
    early = sorted(name for name, at_ns in starts.items() if at_ns < _YEAR_NS)
    late = sorted(set(starts) - set(early))
    if early and late:
        raise UsageError(
            expected="a start for each of the recordings, or for none",
            got=f"one for {', '.join(late)}, none for {', '.join(early)}",
            where="--source",
            action=f"write --source {early[0]}=FILE@START with its date and time too",
        )


def start_advice(cameras: Mapping[str, Source]) -> str:
    """What to say of recordings that are laid side by side though they say when they began."""
    files = {n: s for n, s in cameras.items() if isinstance(s, VideoFile)}
    if len(files) < 2 or any(one.start_ns for one in files.values()):
        return ""
    said = {n: one.creation_ns for n, one in files.items()}
    known = {n: at_ns for n, at_ns in said.items() if at_ns is not None}
    if len(known) < len(files) or len(set(known.values())) < 2:
        return ""
    times = ", ".join(f"{name} {utc(at_ns)}" for name, at_ns in known.items())
    return (
        f"all recordings are taken to begin together, but say otherwise ({times}): "
        "write --source NAME=FILE@creation to believe them"
    )


def split_start(location: str) -> tuple[str, dict[str, object]]:
    """A recording and when it began: seconds after the first one, a time, or ``creation``.

    A file whose name has an ``@`` is that file.

    >>> split_start("rtsp://user@gate/1")
    ('rtsp://user@gate/1', {})
    """
    head, at, start = location.rpartition("@")
    if not at or scheme_of(location) != "file" or path_of(location).exists():
        return location, {}
    if not path_of(head).exists():
        return location, {}
    try:
        return head, {"start_s": float(start)}
    except ValueError:
        return head, {"start": start}


def parse_source_options(given: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Options by source, of ``NAME.OPTION=VALUE``.

    Raises:
        UsageError: another form, or a name that is not in ``names``.

    >>> parse_source_options(["yard.time_in_name=_(?P<time>[0-9]+)"], ["yard"])
    {'yard': {'time_in_name': '_(?P<time>[0-9]+)'}}
    """
    found: dict[str, dict[str, str]] = {}
    for item in given:
        place, equals, value = item.partition("=")
        name, dot, option = place.partition(".")
        if not (equals and dot and option) or name not in names:
            raise UsageError(
                expected=f"NAME.OPTION=VALUE, with a NAME of {', '.join(names)}",
                got=place or "nothing",
                where="--source-option",
                action="`sightline stages frames.file` lists the options of recordings",
            )
        found.setdefault(name, {})[option] = value
    return found


def parse_locations(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Location by name, of ``NAME=LOCATION`` options.

    Raises:
        UsageError: an option of another form, a name that is not in ``names`` or comes twice.
            It never repeats a location, which may hold a password.

    >>> parse_locations(["yard=rtsp://gate/1"], ["yard", "hall"])
    {'yard': 'rtsp://gate/1'}
    """
    found: dict[str, str] = {}
    named = {item.partition("=")[0] for item in given}
    for item in given:
        name, equals, location = item.partition("=")
        is_name = bool(equals) and "/" not in name  # of an address, "=" may be in a password
        if not is_name or name not in names or name in found:
            raise UsageError(
                expected=f"NAME=LOCATION, once for each of {', '.join(names)}",
                got=f"{name} again" if name in found else name if is_name else "no NAME=",
                where="--source",
                action=_meant(name, [n for n in names if n not in named])
                if is_name
                else "write NAME=LOCATION with one of these names, each once",
            )
        if not location:
            raise UsageError(
                expected="a location",
                got="none",
                where=f"--source {name}=",
                action="write where it is behind the =; `.` for the folder that you are in",
            )
        found[name] = location
    return found


def _meant(name: str, free: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, free, n=1, cutoff=0.0 if len(free) == 1 else 0.6)
    return (
        f"write --source {near[0]}=…" if near else f"write one of {', '.join(free) or 'them'} once"
    )


def parse_controls(files: Sequence[Path]) -> tuple[Mapping[str, Any], ...]:
    """Operator inputs, one JSON object a line."""
    found: list[Mapping[str, Any]] = []
    for path in files:
        whole = Limits(max_document_bytes=DEFAULT_LIMITS.max_control_file_bytes)
        text = read_document(path, kind_of_error=UsageError, limits=whole)
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                control = read_json(line, where=f"{path}, line {number}", kind_of_error=UsageError)
                kind = control["control"]
                control = in_ns(control)
            except ValueError as error:
                raise UsageError(
                    expected="times as 2026-01-01T12:00:00Z, or in ns with _ns behind their name",
                    got=str(error),
                    where=f"{path}, line {number}",
                    action="mend the line",
                ) from error
            except (KeyError, TypeError) as error:
                raise UsageError(
                    expected='a JSON object with "control"',
                    got=line[:80],
                    where=f"{path}, line {number}",
                    action="mend the line",
                ) from error
            if kind not in CONTROLS:
                raise UsageError(
                    expected=f"control: one of {', '.join(CONTROLS)}",
                    got=str(kind),
                    where=f"{path}, line {number}",
                    action="mend the line",
                )
            found.append(control)
    return tuple(found)


def parse_speed(text: str) -> float | None:
    """``max`` → None, ``60x`` → 60.0.

    >>> parse_speed("60x")
    60.0
    """
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e9:
        raise UsageError(
            expected="max, or a positive multiple such as 60x",
            got=text,
            where="--speed",
            action="write for example --speed 60x",
        )
    return speed


def expected_rows(sources: Mapping[str, Source]) -> int | None:
    """Rows and frames that recorded sources have, about; None where one does not tell.

    Of text that is what its size comes to, by the length of its first lines.
    """
    total = 0
    for source in sources.values():
        counts: list[int | None] = [None]
        if isinstance(source, VideoFile):
            counts = [source.frame_count]
        elif isinstance(source, FileSource):
            counts = [rows_of(path) for _, path in source.files]
        if any(count is None for count in counts):
            return None
        total += sum(count for count in counts if count is not None)
    return total


def rows_of(path: Path) -> int | None:
    """Rows of a table, about; None where neither its size nor its footer tells."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        try:
            return int(parquet.ParquetFile(path).metadata.num_rows)
        except (OSError, ArrowInvalid):
            return None  # whoever reads it says what is wrong
    if name.endswith((".gz", ".npz")) or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return round(path.stat().st_size * head.count(b"\n") / max(len(head), 1))
