"""``sightline run``: runs a pipeline over rows, cameras, or both, and prints the report."""

from __future__ import annotations

import inspect
import io
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sightline.act import RunMetrics, outlet_registry, serve_metrics
from sightline.cli.console import (
    Json,
    Terminal,
    print_json,
    print_note,
    print_trouble,
    progress_display,
    stop_on_signal,
)
from sightline.cli.outlets import parse_actuators, parse_alerts, parse_command_keys
from sightline.cli.sources import (
    expected_rows,
    open_sources,
    parse_controls,
    parse_speed,
    start_advice,
)
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.registry import import_plugins
from sightline.runtime import RunOptions, RunReport, load_plan, run_pipeline
from sightline.runtime.engine.operator_inputs import in_ns
from sightline.runtime.engine.steady_clock import steady_clock
from sightline.runtime.run_options import RunClocks, restarted
from sightline.sense.yaml_form import read_json

_STAGES_SHOWN = 3
_METRICS_TOKEN = "SIGHTLINE_METRICS_TOKEN"  # noqa: S105 - the name of a variable, not a token
"""Of rows the slowest stages are shown to people; all of them are in the JSON of the report."""


class Deadlines(StrEnum):
    """Whether guarded stages must answer within their budgets."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


def run(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline file (YAML).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="NAME=LOCATION",
            help="A file, a folder, - for standard input, nats://HOST/STREAM, kafka://HOST/TOPIC, "
            "amqp://HOST/QUEUE, mqtt://HOST/TOPIC; of a camera also rtsp:// or http(s)://. "
            "FILE@START: a recording that began START seconds after the others, at a time, or when "
            "the file itself says it did (creation).",
        ),
    ] = None,
    source_option: Annotated[
        list[str] | None,
        typer.Option(
            "--source-option",
            metavar="NAME.OPTION=VALUE",
            help="An option of a source: start_s, time_in_name, times_file, video_stream, …",
        ),
    ] = None,
    speed: Annotated[str, typer.Option(help="max, or a multiple of real time: 1x, 60x.")] = "max",
    deadlines: Annotated[
        Deadlines,
        typer.Option(
            help="Whether detectors and scorers must answer within budget_s; auto: live and at a "
            "speed, but not at max, where every answer is waited for.",
        ),
    ] = Deadlines.AUTO,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Take rows as they come; time is that of this machine's clock."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the stopped run in --out.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=0, help="Worker processes, or actors; 0: all in this process.")
    ] = 0,
    on: Annotated[
        Literal["processes", "ray"],
        typer.Option(
            help="Where workers are: this machine, or a Ray cluster (RAY_ADDRESS; else one is "
            "started here). On Ray a run goes on by itself when a machine dies."
        ),
    ] = "processes",
    alerts: Annotated[
        list[str] | None,
        typer.Option(
            "--alerts",
            metavar="[NAME=]LOCATION",
            help="Who gets alerts: jsonl:FILE, http(s)://…, mqtt[s]://…, slack+https://…, "
            "alertmanager+http://…, pagerduty+https://KEY@…, nats://HOST/STREAM/SUBJECT, "
            "kafka://HOST/TOPIC, amqp://HOST/QUEUE",
        ),
    ] = None,
    control: Annotated[
        list[Path] | None,
        typer.Option("--control", help="File of operator inputs, one JSON object a line."),
    ] = None,
    actuator: Annotated[
        list[str] | None,
        typer.Option(
            "--actuator",
            metavar="MACHINE=LOCATION",
            help="Where commands to a machine go: mqtt[s]://HOST/PREFIX, http(s)://…, jsonl:FILE.",
        ),
    ] = None,
    command_key: Annotated[
        list[str] | None,
        typer.Option(
            "--command-key",
            metavar="[MACHINE=]FILE",
            help="Sign commands with the key in this file (openssl rand -hex 32).",
        ),
    ] = None,
    ledger: Annotated[
        str,
        typer.Option(
            envvar="SIGHTLINE_LEDGER",
            show_envvar=False,
            help="Keep the ledger in a database: postgresql://HOST/DATABASE?schema=NAME. The "
            "password is best in PGPASSWORD or ~/.pgpass.",
        ),
    ] = "",
    metrics_port: Annotated[
        int | None,
        typer.Option(help="Serve Prometheus metrics on this port, /metrics, and /healthz."),
    ] = None,
    metrics_host: Annotated[
        str,
        typer.Option(
            help="Address to serve them at; in a container 0.0.0.0. SIGHTLINE_METRICS_TOKEN: "
            "a token that /metrics asks for."
        ),
    ] = "127.0.0.1",
    as_json: Json = False,
) -> None:
    """Run a pipeline over files, folders, standard input, recordings or cameras.

    Live, or with cameras, Ctrl-C or SIGTERM ends the run after what has come is in the log;
    --resume goes on with it.
    """
    plan = load_plan(pipeline)
    if workers > DEFAULT_LIMITS.max_workers:
        raise UsageError(
            expected=f"at most {DEFAULT_LIMITS.max_workers} workers",
            got=str(workers),
            where="--workers",
            action="give fewer",
        )
    clocks = RunClocks()
    if plan.cameras:  # cameras and engine share one clock, so that ages stay right
        clocks = RunClocks(
            wall_ns=steady_clock(time.time_ns, time.monotonic, on_trouble=print_trouble)
        )
    sources = open_sources(
        plan, source or [], options=source_option or [], wall_ns=clocks.wall_ns, is_live=live
    )
    advice = start_advice({n: sources[n] for n in plan.cameras if n in sources})
    if advice:
        print_note(advice)
    is_live = live or any(not getattr(sources[n], "durable", True) for n in plan.cameras
                          if n in sources)  # fmt: skip
    # With cameras the file may grow while the run goes on; with rows alone it is read at the start.
    follows = bool(plan.cameras)
    options = RunOptions(
        speed=None if is_live and plan.cameras else parse_speed(speed),
        is_live=is_live,
        deadlines=None if deadlines is Deadlines.AUTO else deadlines is Deadlines.ON,
        workers=workers or (plan.pipeline.partitions if on == "ray" else 0),
        on=on,
        resume=resume,
        ledger=ledger,
        controls=() if follows else parse_controls(control or []),
    )
    registry = outlet_registry(import_plugins(plan.pipeline.plugins, where=str(pipeline)))
    machines = [s.name for s in plan.items if s.stage.ports()[1] == "commands"]
    with (
        stop_on_signal(is_armed=is_live or follows) as is_stopped,
        metrics_server(metrics_port, host=metrics_host) as metrics,
        progress_display(
            plan.pipeline.pipeline,
            is_quiet=as_json,
            total=None if is_live else expected_rows(sources),
        ) as on_progress,
    ):
        opened = [sources]

        def start(options: RunOptions) -> RunReport:
            """Run; a second time with sources and receivers opened anew."""
            taken = opened.pop() if opened else open_sources(
                plan, source or [], options=source_option or [], is_live=live
            )  # fmt: skip
            return run_pipeline(
                plan,
                taken,
                out,
                options=options,
                commands=parse_actuators(
                    machines, actuator or [], pipeline=plan.pipeline.pipeline, registry=registry
                ),
                command_keys=parse_command_keys(machines, command_key or []),
                alerts=parse_alerts(alerts or [], registry=registry),
                controls=_followed(control or []) if follows else tuple,
                metrics=metrics,
                on_progress=on_progress,
                on_trouble=print_trouble,
                clocks=clocks,
                is_stopped=is_stopped,
            )

        report = restarted(start, options, on_trouble=print_trouble)
    show_report(report, as_json=as_json)
    if not as_json:
        _print_next(report)
    problem = report.problem()
    if problem is not None:
        raise problem


def _print_next(report: RunReport) -> None:
    """What to type to see more of it."""
    console, folder = Terminal(), shlex.quote(str(report.path))
    if report.decisions:
        console.print(f"decisions    sightline decisions {folder}")
        console.print(f"explain one  sightline explain {folder} ID")
    if report.alerting is not None:
        console.print(f"alarms       sightline alerts {folder}")
    console.print(f"report       sightline report {folder} -o report.html")


@contextmanager
def metrics_server(port: int | None, *, host: str = "127.0.0.1") -> Iterator[RunMetrics]:
    """Metrics of a run, served while it lasts if a port is given."""
    metrics = RunMetrics()
    if port is None:
        yield metrics
        return
    token = os.environ.get(_METRICS_TOKEN) or None
    with serve_metrics(metrics, host=host, port=port, token=token):
        yield metrics


def show_report(report: RunReport, *, as_json: bool) -> None:
    """Print what a run came to."""
    if as_json:
        print_json(report.as_mapping())
        return
    console = Terminal()
    for line in report_lines(report):
        console.print(line)


def report_lines(report: RunReport) -> list[RenderableType]:
    """What a run came to, for a terminal."""
    rows = list(_number_rows(report))
    numbers = Table.grid(padding=(0, 2))
    numbers.add_column(no_wrap=True)
    numbers.add_column(overflow="fold")
    for title, text in rows:
        numbers.add_row(title, Text(text))
    decisions = Table(title=None, box=None, padding=(0, 2))
    decisions.add_column("decision")
    decisions.add_column("count", justify="right")
    for name, count in report.decisions.items():
        decisions.add_row(name, f"{count:,}")
    return [numbers, "", decisions if report.decisions else "no decisions", ""]


def _number_rows(report: RunReport) -> Iterator[tuple[str, str]]:
    accounts = report.accounts
    yield "pipeline", report.pipeline
    yield ("frames" if report.frames_per_s and not report.rows_per_s else "rows",
           accounts.equation())  # fmt: skip
    for title, causes in (("dropped", accounts.dropped), ("quarantined", accounts.quarantined)):
        for cause, count in causes.items():
            if count:
                yield "", f"{title} {cause}: {count:,}"
    per_s = [f"{report.rows_per_s:,.0f} rows/s"] if report.rows_per_s else []
    per_s += [f"{report.frames_per_s:,.1f} frames/s"] if report.frames_per_s else []
    for camera, tally in report.cameras.items():
        for counted, what in ((tally.refused, "frames refused"), (tally.noted, "noted")):
            for reason, count in counted.items():
                yield f"  {camera}", f"{reason}, {count:,} {what}: {tally.words[reason]}"
    yield "speed", ", ".join([*per_s, f"{report.wall_s:.1f} s"])
    by_p99 = sorted(report.stage_s, key=lambda stage: -report.stage_s[stage].get("p99", 0.0))
    shown = by_p99 if report.commands else by_p99[:_STAGES_SHOWN]
    for title, seconds in (
        ("latency", report.latency_s if report.rows_per_s else {}),
        ("capture to command", report.command_latency_s),
        ("age when taken", report.age_s),
        ("step", report.step_s),
        *((f"  {stage}", report.stage_s[stage]) for stage in shown),
    ):
        if seconds.get("count"):
            times = (f"{k} {seconds[k] * 1000:,.1f} ms" for k in ("p50", "p95", "p99", "worst"))
            yield title, "  ".join(times)
    if not report.deadline_missed:
        yield "deadlines", "none missed"
    for stage, times_missed in report.deadline_missed.items():
        what = f"over budget {times_missed} times; a recording waits" if report.waited else ""
        yield "deadlines", f"{stage}: {what or f'{times_missed} missed'}"
    if report.waited and set(report.deadline_missed) & set(report.stage_s):
        both = set(report.deadline_missed) & set(report.stage_s)
        slow = max(both, key=lambda stage: report.deadline_missed[stage])
        p99_s = report.stage_s.get(slow, {}).get("p99", 0.0)
        yield "", f"live, its fallback would have answered: give {slow} more than {p99_s:.2g} s"
    for name, count in report.fallbacks.items():
        yield "fallback", f"{name}: {count}"
    if report.commands:
        yield "commands", ", ".join(f"{name} {count}" for name, count in report.commands.items())
    for machine, sending in report.actuators.items():
        counts = (f"{n} {v}" for n, v in sending.items() if v and n != "is_signed")
        signed = "signed" if sending["is_signed"] else "not signed: anybody can command it"
        yield "actuator", f"{machine}: {', '.join(counts)} ({signed})"
    yield from _learning_rows(report)
    yield from _detector_rows(report)
    for bound, count in report.at_bounds.items():
        yield "at its bound", f"{bound}: {count:,}"
    if report.alerting is not None:
        fates, messages = report.alerting["fates"], report.alerting["messages"]
        places = " + ".join(f"{fate} {count:,}" for fate, count in fates.items()) or "none"
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in messages.items())
        yield "alerts", f"raised {sum(fates.values()):,} = {places}"
        yield "messages", f"{sum(messages.values()):,}{': ' + kinds if kinds else ''}"
    if report.refused_controls:
        yield "operator inputs", f"{report.refused_controls} refused: no JSON object, or not usable"
    for receiver, waits in (report.undelivered or {}).items():
        yield "outbox", f"{receiver}: {waits.words()}"
    if report.ledger.failures:
        is_current = "all is in it now" if report.ledger.is_current else "it is behind the log"
        yield "ledger", f"{report.ledger.failures} attempts failed; {is_current}"
    if report.ledger.put_aside:
        yield (
            "",
            f"it was damaged, and made again from the log; the old one: {report.ledger.put_aside}",
        )
    for partition, message in report.recoveries.items():
        yield "recovered", f"{partition}: {message}"
    yield "digest", report.digest


def _learning_rows(report: RunReport) -> Iterator[tuple[str, str]]:
    for stage, found in report.learning.items():
        words = f"{found.known:,} series known, {found.learning:,} still learnt from"
        room = f", {found.without_room:,} without room" if found.without_room else ""
        yield "learning", f"{stage}: {words}{room}"
        if found.waiting:
            more = ", …" if found.waiting > len(found.named) else ""
            yield (
                "",
                f"{found.waiting:,} have changed for long and are learnt from no more, until the "
                f"operator input take_as_normal: {', '.join(found.named)}{more}",
            )
        if found.borne:
            yield (
                "told",
                f"{stage}: {found.tellings:,} on {found.judged_days:.1f} days of a key, of which "
                f"its budget allows {found.borne:.3g} to be false",
            )


def _detector_rows(report: RunReport) -> Iterator[tuple[str, str]]:
    for camera, causes in report.left_aside.items():
        listed = ", ".join(f"{cause} {count:,}" for cause, count in causes.items())
        yield "in no track", f"{camera}: {listed}"
    for camera, text in report.advice.items():
        yield "settings", f"{camera}: {text}"


def _followed(
    files: Sequence[Path], limits: Limits = DEFAULT_LIMITS
) -> Callable[[], list[Mapping[str, Any]]]:
    """Operator inputs from files of JSON lines that grow while a run goes on.

    Only whole lines are read, each once; what is no JSON object, or longer than
    ``control_line_bytes``, is handed on as an empty one, so that it is counted. A file that cannot
    be read is told of once and tried again: it must neither hold up nor end what commands machines.
    """
    places = dict.fromkeys(files, 0)
    told: set[Path] = set()
    cut: set[Path] = set()  # files of which the rest of a line that is too long comes next

    def read_on(path: Path) -> bytes:
        try:  # to open a pipe that nobody writes to would wait for ever
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                file.seek(places[path])
                return file.read(limits.control_line_bytes)
        except FileNotFoundError:
            return b""
        except OSError as error:
            if path not in told:
                told.add(path)
                why = error.strerror or "no file of lines"
                print_trouble(f"operator inputs {path}: {why}; it is tried again")
            return b""

    def newest() -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for path in files:
            text = read_on(path)
            is_too_long = len(text) == limits.control_line_bytes and b"\n" not in text
            whole = text if is_too_long else text[: text.rfind(b"\n") + 1]
            for line in io.BytesIO(whole):
                # A resumed run reads the file again: it must know what it has taken.
                identity = f"{path.resolve()}:{places[path]}"
                places[path] += len(line)
                if path not in cut and (is_too_long or line.strip()):
                    found.append({"id": identity, **({} if is_too_long else _control(line))})
                cut.discard(path)
            if is_too_long:
                cut.add(path)
        return found

    return newest


def _control(line: bytes) -> Mapping[str, Any]:
    try:
        plain = read_json(line, where="an operator input", kind_of_error=UsageError)
        return in_ns(plain) if isinstance(plain, dict) else {}
    except (UsageError, ValueError):
        return {}


# --- sightline live -------------------------------------------------------------------------------

_OF_RUN = inspect.signature(run, eval_str=True)


def live(**options: Any) -> None:
    """Run a pipeline on rows and pictures as they come; the same as run --live.

    Ctrl-C or SIGTERM ends the run after what has come is in the log; --resume goes on with it.
    """
    run(**options, live=True)


# Typer reads the options of a command from its signature: these are those of `run`, but one.
live.__annotations__ = {name: one.annotation for name, one in _OF_RUN.parameters.items()}
live.__signature__ = _OF_RUN.replace(  # type: ignore[attr-defined]
    parameters=[one for name, one in _OF_RUN.parameters.items() if name != "live"]
)
