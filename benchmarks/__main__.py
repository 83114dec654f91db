"""``python -m benchmarks NAME``, or ``sightline lab bench NAME``: the commands."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sightline.cli.console import fail, print_json, working
from sightline.errors import SightlineError

# Each command imports what it measures when it runs: the list of names appears at once.

app = typer.Typer(
    name="benchmarks",
    help="Measure Sightline: speed beside peers, and accuracy on simulated and recorded data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def main() -> None:
    """Entry point; an error is printed with its parts, and its exit code is that of `sightline`."""
    try:
        app(prog_name="benchmarks")
    except SightlineError as error:
        try:
            fail(error)
        except typer.Exit as leave:
            sys.exit(leave.exit_code)


# --- speed --------------------------------------------------------------------------------------


@app.command()
def windows(
    peers: Annotated[bool, typer.Option("--peers", help="Also time other stream engines.")] = False,
    as_json: Json = False,
) -> None:
    """Dedupe, 5-minute windows, count, mean and p95 for 10,000 keys on one core."""
    from benchmarks.windows import bench_windows

    _show(bench_windows(peers=peers, progress=_say), as_json=as_json)


@app.command()
def pipeline(
    as_json: Json = False,
    rows: Annotated[int, typer.Option(min=10_000, help="Rows of telemetry.")] = 6_000_000,
    on_ray: Annotated[
        bool, typer.Option("--on-ray", help="Two actors of Ray beside two processes instead.")
    ] = False,
) -> None:
    """The whole pipeline from contract to ledger on one core."""
    from benchmarks.pipeline import bench_pipeline, bench_ray

    _show((bench_ray if on_ray else bench_pipeline)(rows=rows), as_json=as_json)


@app.command()
def brokers(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(help="nats://HOST:PORT; also amqp, amqp+stream, kafka or mqtt."),
    ] = None,
    rows: Annotated[int, typer.Option(min=10_000, help="As Arrow batches.")] = 4_000_000,
    batch_rows: Annotated[int, typer.Option(min=1, help="Of one message.")] = 4000,
    json_rows: Annotated[int, typer.Option(min=100, help="As JSON, one a message.")] = 20_000,
    ledger: Annotated[str, typer.Option(help="PostgreSQL of the ledger; without: a file.")] = "",
    as_json: Json = False,
) -> None:
    """From a broker to the ledger, beside a bare client that only consumes."""
    from benchmarks.brokers import bench_brokers

    result = bench_brokers(
        addresses or ["nats://localhost:4222"],
        rows=rows,
        batch_rows=batch_rows,
        json_rows=json_rows,
        ledger=ledger,
        progress=_say,
    )
    _show(result, as_json=as_json)


@app.command()
def disturbances(
    records: Annotated[int, typer.Option(min=30_000, help="Rows, in three streams.")] = 5_000_000,
    kills: Annotated[int, typer.Option(min=0, help="Of workers and coordinators.")] = 50,
    restarts: Annotated[
        int, typer.Option(min=0, help="Of each of NATS, RabbitMQ and PostgreSQL.")
    ] = 10,
    kpi_kills: Annotated[int, typer.Option(min=0, help="Of the KPI job.")] = 12,
    minutes_most: Annotated[
        float, typer.Option(min=0.1, help="No fault begins after so long.")
    ] = 30,
    seed: Annotated[int, typer.Option(help="Of the order of faults.")] = 1,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where its files go and stay; a temporary folder by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Kill and restart everything under a live run: the same decisions and KPIs? 1 where not."""
    from benchmarks.disturbances import disturb

    result = disturb(
        records=records,
        kills=kills,
        restarts=restarts,
        kpi_kills=kpi_kills,
        seconds_most=60 * minutes_most,
        seed=seed,
        folder=folder,
        progress=_say,
    )
    _show(result, as_json=as_json)
    equal = ("decisions_equal", "ledger_equal", "nothing_lost", "balanced")
    if not (all(result[name] for name in equal) and result["kpi"]["rows_equal"]):
        raise typer.Exit(1)


@app.command()
def ticks(
    as_json: Json = False,
    count: Annotated[int, typer.Option("--ticks", min=10, help="Ticks to measure.")] = 300,
    rows: Annotated[
        int, typer.Option(min=1, help="Rows of a tick, each of a key of its own.")
    ] = 30,
) -> None:
    """A live tick with few rows for four partitions: CPU time of each step."""
    from benchmarks.ticks import bench_ticks

    _show(bench_ticks(ticks=count, rows=rows), as_json=as_json)


@app.command()
def telemetry(
    ledger: Annotated[str, typer.Argument(help="PostgreSQL; a schema of its own is made there.")],
    as_json: Json = False,
    rows: Annotated[int, typer.Option(min=1000, help="Rows to load.")] = 10_000_000,
) -> None:
    """The view of throughput over telemetry in PostgreSQL: time, plan, equal to Polars or not."""
    from benchmarks.telemetry import bench_telemetry

    _show(bench_telemetry(ledger, rows=rows, progress=_say), as_json=as_json)


@app.command()
def tiles(as_json: Json = False) -> None:
    """Detections into the greatest score of each map tile, on one core."""
    from benchmarks.tiles import bench_tiles

    _show(bench_tiles(progress=_say), as_json=as_json)


@app.command()
def kpi(
    rows: Annotated[int, typer.Option(min=10_000, help="Rows on disk.")] = 20_000_000,
    days: Annotated[int, typer.Option(min=1, help="Days they are spread over.")] = 10,
    folder: Annotated[
        Path | None, typer.Option(help="Where to write them; a temporary folder by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The KPI job over many rows on disk: time, memory, a rerun, a late file; one core."""
    from benchmarks.kpi import bench_kpi

    _show(bench_kpi(rows=rows, days=days, folder=folder, progress=_say), as_json=as_json)


@app.command()
def tracker(
    peers: Annotated[bool, typer.Option("--peers", help="Also time ByteTrack.")] = False,
    as_json: Json = False,
) -> None:
    """Updates of the tracker with 50 and 200 objects in sight, on one core."""
    from benchmarks.tracker import bench_tracker

    _show(bench_tracker(peers=peers, progress=_say), as_json=as_json)


@app.command()
def detector(
    as_json: Json = False,
    samples: Annotated[int, typer.Option(min=10_000, help="Of the series.")] = 300_000,
) -> None:
    """Samples per second through features, memory and threshold, on one core."""
    from benchmarks.detector import bench_detector

    _show(bench_detector(samples=samples), as_json=as_json)


@app.command("detector-bank")
def detector_bank(
    as_json: Json = False,
    series: Annotated[int, typer.Option(min=20, help="In the bank.")] = 5000,
    rows_per_call: Annotated[int, typer.Option(min=1, help="Samples of each.")] = 5,
) -> None:
    """Samples per second of many detectors side by side, on one core."""
    from benchmarks.detector_bank import bench_detector_bank

    _show(bench_detector_bank(series=series, rows_per_call=rows_per_call), as_json=as_json)


@app.command()
def frames(
    as_json: Json = False,
    count: Annotated[
        int, typer.Option("--frames", min=20, help="Frames for the bookkeeping.")
    ] = 2_000,
    live: Annotated[int, typer.Option(min=10, help="Frames in real time, at 15 per second.")] = 300,
) -> None:
    """What the engine costs per frame at 640 x 480, and from capture to command."""
    from benchmarks.frames import bench_frames

    _show(bench_frames(frames=count, live_frames=live, progress=_say), as_json=as_json)


@app.command()
def line(
    as_json: Json = False,
    parts: Annotated[int, typer.Option(min=20, help="Parts on the belt.")] = 10_000,
    paced: Annotated[int, typer.Option(min=0, help="Parts at the speed of the line.")] = 120,
    kills: Annotated[int, typer.Option(min=0, max=10, help="Of the run that is killed.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.")] = 1,
) -> None:
    """Parts of a line on which all goes wrong: each decided once, in time, killed or not."""
    from benchmarks.line import bench_line

    found = bench_line(parts=parts, paced_parts=paced, kills=kills, seed=seed, progress=_say)
    _show(found, as_json=as_json)


@app.command()
def line_skab(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the SKAB runs.")],
    as_json: Json = False,
) -> None:
    """Parts on a line with the sensors of SKAB: where they go, and what a silent sensor changes."""
    from benchmarks.line_skab import bench_line_skab

    _show(bench_line_skab(folder, progress=_say), as_json=as_json)


@app.command()
def boards(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of DeepPCB.")],
    kept: Annotated[bool, typer.Option("--kept", help="Also the pairs kept apart.")] = False,
    as_json: Json = False,
) -> None:
    """Boards of DeepPCB: F at IoU 0.33 by five folds, and once on 60 pairs kept apart."""
    from benchmarks.boards import bench_boards

    _show(bench_boards(folder, kept=kept, progress=_say), as_json=as_json)


@app.command()
def deadlines(
    as_json: Json = False,
    count: Annotated[
        int,
        typer.Option(
            "--frames", min=20, help="Of all cameras, in real time; 600 for a quick look."
        ),
    ] = 10_000,
    cameras: Annotated[int, typer.Option(min=1, max=16)] = 4,
    rate: Annotated[float, typer.Option(min=1.0, max=60.0, help="Frames per second each.")] = 15.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults.")] = 1,
    own: Annotated[
        bool, typer.Option("--own", help="A detector per camera instead of one for all.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Keep the run in this folder; otherwise it is removed.")
    ] = None,
) -> None:
    """Cameras in real time while the detector stalls, crashes and says NaN in 5 % of frames.

    Leaves with 1 if the replay differs, frames are lost or a fallback is not flagged.
    """
    from benchmarks.deadlines import DeadlineCase, bench_deadlines

    case = DeadlineCase(frames=count, cameras=cameras, rate_hz=rate, seed=seed, is_shared=not own)
    found = bench_deadlines(case, out=out, progress=_say)
    _show(found, as_json=as_json)
    missed = found["deadline_missed"]
    is_sound = (
        found["replay"]["identical"]
        and found["accounts"]["conserved"]
        and found["fallbacks"]["all_flagged"]
        and missed["frames_reported"] == missed["frames_logged"]
        and not missed["frames_late_by_log_stamps_not_logged"]
    )
    raise typer.Exit(0 if is_sound else 1)


@app.command()
def constellation(
    as_json: Json = False,
    satellites: Annotated[int, typer.Option(min=1, max=100_000)] = 1000,
    channels: Annotated[int, typer.Option(min=1, max=512)] = 50,
    duration_s: Annotated[int, typer.Option(min=60, max=3600, help="Of event time.")] = 3600,
    workers: Annotated[int, typer.Option(min=0, max=64, help="0: one process for all.")] = 2,
    learn_windows: Annotated[int, typer.Option(min=34, max=10_000)] = 750,
    memory_size: Annotated[int, typer.Option(min=1, max=4096)] = 64,
    days: Annotated[
        int, typer.Option(min=0, max=31, help="Whole days, and memory by day, if not 0.")
    ] = 0,
    period_s: Annotated[float, typer.Option(min=1, max=60, help="Between two packets.")] = 1.0,
    expectation: Annotated[
        bool, typer.Option("--expectation", help="That stage, instead of novelty; with --days.")
    ] = False,
) -> None:
    """An hour of 1,000 satellites with 50 channels at 1 Hz: event to alert, share of stages."""
    from benchmarks.constellation import bench_constellation

    found = bench_constellation(
        satellites=satellites,
        channels=channels,
        duration_s=duration_s,
        workers=workers,
        learn_windows=learn_windows,
        memory_size=memory_size,
        days=days,
        period_s=period_s,
        expectation=expectation,
    )
    _show(found, as_json=as_json)


# --- accuracy -----------------------------------------------------------------------------------


@app.command()
def alerts(
    satellite_days: Annotated[
        int, typer.Option(min=0, help="Clean satellite-days at 0.1 Hz to count false alerts on.")
    ] = 10_000,
    calibration_days: Annotated[
        int, typer.Option(min=0, help="Satellite-days of another fleet, for thresholds; 0.1 Hz.")
    ] = 1_200,
    fast_calibration_days: Annotated[
        int, typer.Option(min=0, help="The same at 1 Hz; 0: nothing at 1 Hz.")
    ] = 320,
    fault_days: Annotated[
        int, typer.Option(min=0, help="Satellite-days with faults at 0.1 Hz.")
    ] = 200,
    fast_fault_days: Annotated[
        int, typer.Option(min=0, help="Satellite-days with faults at 1 Hz.")
    ] = 400,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 2,
    as_json: Json = False,
) -> None:
    """The fleet detector on simulated telemetry: false alerts, misses, delays, a verdict.

    An upper bound: the detector knows the form of what it looks at. Thresholds come from one
    fleet, false alerts and misses from two others.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # each process is one thread: they would fight
    from benchmarks.fleet.alert_report import AlertTrialPlan, alert_report, report_lines

    plan = AlertTrialPlan(
        satellite_days=satellite_days,
        calibration_days=calibration_days,
        fast_calibration_days=fast_calibration_days,
        fault_days=fault_days,
        fast_fault_days=fast_fault_days,
        workers=workers,
    )
    report = alert_report(plan, clock_s=time.monotonic)
    if as_json:
        print_json(report)
        return
    for line in report_lines(report):
        typer.echo(line)


@app.command("alert-days")
def alert_days(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the pictures.")
    ],
    only: Annotated[
        str, typer.Option(help="Series with hits, misses or false-alarms; or all.")
    ] = "all",
    limit: Annotated[int, typer.Option(min=0, help="Most pictures; the worst first.")] = 60,
    satellites: Annotated[int, typer.Option(min=1, help="Satellites with faults.")] = 20,
    days: Annotated[int, typer.Option(min=1, help="Days of each, after three to learn from.")] = 5,
    calibration_days: Annotated[
        int, typer.Option(min=1, help="Satellite-days of another fleet, for thresholds.")
    ] = 240,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    as_json: Json = False,
) -> None:
    """Faulty satellite-days through the fleet detector: a picture for a channel and day.

    Thresholds come from fewer days than those of `alerts`: these are pictures, not figures.
    """
    from benchmarks.fleet.drawn_days import DrawnDaysPlan, draw_days

    plan = DrawnDaysPlan(
        satellites=satellites, days=days, calibration_days=calibration_days, workers=workers
    )
    gallery = draw_days(plan, out, only=only, limit=limit)
    _show(gallery.as_mapping(), as_json=as_json)


@app.command("basilisk-fleet")
def basilisk_fleet(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write it to.")],
    satellites: Annotated[int, typer.Option(min=1, max=1000)] = 6,
    days: Annotated[float, typer.Option(min=1.0, max=400.0)] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of orbits, operations, faults, noise.")] = 0,
    design: Annotated[int, typer.Option(min=0, help="How satellites are built.")] = 0,
    period_s: Annotated[
        float, typer.Option(min=0, max=120, help="Between rows; 0: as the design draws.")
    ] = 0.0,
    faults_from_day: Annotated[float, typer.Option(min=0.0, help="None before.")] = 4.0,
    sensor_faults_per_day: Annotated[float, typer.Option(min=0.0, help="Of a satellite.")] = 0.3,
    physical_faults_per_day: Annotated[float, typer.Option(min=0.0, help="Of a satellite.")] = 0.15,
    as_json: Json = False,
) -> None:
    """A fleet that Basilisk flew, with faults, as `sightline lab evaluate fleet` reads it."""
    from benchmarks.basilisk_fleet import BasiliskFleet, write_basilisk_fleet

    fleet = BasiliskFleet(
        satellites=satellites,
        days=days,
        seed=seed,
        design=design,
        period_s=period_s,
        faults_from_day=faults_from_day,
        sensor_faults_per_day=sensor_faults_per_day,
        physical_faults_per_day=physical_faults_per_day,
    )
    _show(write_basilisk_fleet(fleet, out), as_json=as_json)


@app.command()
def fleets(
    only: Annotated[str, typer.Option(metavar="TEXT", help="Fleets whose name holds this.")] = "",
    as_json: Json = False,
) -> None:
    """Build every recorded fleet of the documentation again, watch it, and score what was told."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # so that the CPU time is that of one core
    from benchmarks.fleets import fleet_lines, score_fleets

    found = score_fleets(only=only, progress=_say)
    if as_json:
        print_json(found)
        return
    for line in fleet_lines(found):
        typer.echo(line)


@app.command()
def releases(
    fleets: Annotated[int, typer.Option(min=1, help="Of those whose release breaks something.")],
    satellites: Annotated[int, typer.Option(min=3, help="Of each fleet.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of the first fleet.")] = 0,
    as_json: Json = False,
) -> None:
    """Releases of firmware that break a channel quietly, and as many that break nothing."""
    from benchmarks.releases import bench_releases

    found = bench_releases(fleets=fleets, satellites=satellites, seed=seed, progress=_say)
    _show(found, as_json=as_json)


@app.command()
def safety(
    runs: Annotated[int, typer.Option(min=1, help="Simulated scenes of each kind.")] = 1000,
    first_seed: Annotated[
        int, typer.Option(min=0, help="Below 100,000 are the seeds that settings are chosen by.")
    ] = 1_000_000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    render: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Videos of lost and of falsely stopped runs, some of each."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """People before a moving vehicle, simulated: stops in time, and stops for nothing."""
    from benchmarks.safety.evaluation import evaluate_safety
    from benchmarks.safety.trial_movie import draw_failures

    result = evaluate_safety(runs=runs, first_seed=first_seed, workers=workers, progress=_say)
    if render is not None:
        seeds = result["conflict"]["missed_seeds"], result["clear"]["false_stop_seeds"]
        paths = draw_failures(*seeds, render, progress=_say)
        result["rendered"] = [str(path) for path in paths]
    _show(result, as_json=as_json)


@app.command("safety-trial")
def safety_trial(
    seed: Annotated[int, typer.Argument(min=0, help="Of the scene.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="X.mp4, or X.png together with --at.")],
    kind: Annotated[
        Literal["conflict", "clear"], typer.Option(help="Which of the two scenes of the seed.")
    ],
    at: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="A still, at this time of the scene.")
    ] = None,
    as_json: Json = False,
) -> None:
    """One simulated run, drawn: truth, tracks, stopping way, probability and commands."""
    from benchmarks.safety.trial_movie import Kind, draw_trial

    done = draw_trial(seed, Kind(kind), out, at_s=at)
    result: dict[str, object] = {
        "path": str(done.path),
        "pictures": done.pictures,
        "kind": kind,
        "seed": seed,
        "stops": [
            {"at_s": stop.time_s, "reasons": list(stop.reasons)} for stop in done.trial.stops
        ],
        "hit_m_s": done.trial.hit_m_s,
    }
    if Kind(kind) is Kind.CONFLICT:
        result["is_in_time"] = done.trial.is_in_time
    _show(result, as_json=as_json)


@app.command()
def prediction(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of scenes such as ETH and Hotel.")
    ],
    published: Annotated[
        bool,
        typer.Option("--published", help="Read the resampled file of ETH that papers report on."),
    ] = False,
    pets: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of PETS 2009: test there too, learn nothing."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Predictions of people: displacement errors, and how often regions hold the truth.

    Each scene is predicted with constants and regions learnt on the others.
    """
    from benchmarks.prediction.scoring import evaluate_prediction, score_lines

    report, scores = evaluate_prediction(folder, published=published, pets=pets)
    if as_json:
        print_json(report)
        return
    for line in [*score_lines(scores), *(f"note: {note}" for note in report["notes"])]:
        typer.echo(line)


@app.command("pets-pixels")
def pets_pixels(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of PETS 2009 S2.L1.")],
    frames: Annotated[int, typer.Option(min=1, max=400, help="From the first.")] = 400,
    as_json: Json = False,
) -> None:
    """Tracks of PETS 2009 from pixels alone, with the camera model and with sizes given or not."""
    from dataclasses import asdict

    from benchmarks.pixels import pixel_lines, score_pixels

    scores = score_pixels(folder, frames=frames, progress=_say)
    if as_json:
        print_json({"scores": [asdict(one) for one in scores]})
        return
    for line in pixel_lines(scores):
        typer.echo(line)


@app.command()
def doubts(
    detections: Annotated[Path, typer.Argument(metavar="DET.txt", help="In MOTChallenge form.")],
    rate_hz: Annotated[float, typer.Option(help="Frames per second.")],
    width_px: Annotated[int, typer.Option(min=1, help="Of the pictures.")],
    height_px: Annotated[int, typer.Option(min=1, help="Of the pictures.")],
    min_score: Annotated[float, typer.Option(help="Least score that counts.")] = 0.25,
    as_json: Json = False,
) -> None:
    """How often what is no track yet would make machines slow, were all of it forbidden."""
    from dataclasses import asdict

    from benchmarks.doubts import count_doubts, doubt_line

    found = count_doubts(
        detections, rate_hz=rate_hz, picture_px=(width_px, height_px), min_score=min_score
    )
    if as_json:
        print_json(asdict(found))
        return
    typer.echo(doubt_line(found))


# --- published benchmarks of anomaly detection ---------------------------------------------------

BenchmarkFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the benchmark.")]
FoundFile = Annotated[
    Path | None, typer.Option("--predictions", metavar="OUT.csv", help="Write what was found.")
]
FoundFolder = Annotated[
    Path | None, typer.Option("--predictions", metavar="OUT", help="Folder for what was found.")
]


@app.command()
def nasa(
    folder: BenchmarkFolder,
    predictions: FoundFile = None,
    pipeline: Annotated[
        Path | None,
        typer.Option(
            help="Score the alarms of a run of this pipeline, as they were told, instead of events "
            "of whole recordings: src/sightline/apps/gateway/smap.yaml."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """NASA SMAP or MSL: events of every channel, pooled F1 where labels are there.

    Predictions: channel,start,end; rows of ``test``, both ends included.
    """
    from benchmarks.published.nasa import evaluate_nasa, write_nasa
    from benchmarks.published.nasa_alarms import evaluate_alarms

    with working("nasa", is_quiet=as_json):
        if pipeline is None:
            result = evaluate_nasa(folder)
            plain, events = result.as_mapping(), result.events
        else:
            with tempfile.TemporaryDirectory(prefix="sightline-nasa-") as scratch:
                alarms = evaluate_alarms(folder, pipeline, Path(scratch) / "run")
            plain, events = alarms.as_mapping(), alarms.alarms
    if predictions is not None:
        write_nasa(predictions, events)
    if not as_json:
        plain.pop("by_channel", None)  # long
    _show(plain, as_json=as_json)


@app.command()
def nab(folder: BenchmarkFolder, predictions: FoundFolder = None, as_json: Json = False) -> None:
    """Numenta's benchmark: one threshold for all files, by category.

    Predictions: CATEGORY/sightline_FILE with timestamp,value,anomaly_score,label.
    """
    from benchmarks.published.nab import evaluate_nab, write_nab

    with working("nab", is_quiet=as_json):
        result = evaluate_nab(folder)
    if predictions is not None:
        write_nab(predictions, result.series)
    _show(result.as_mapping(), as_json=as_json)


@app.command()
def skab(folder: BenchmarkFolder, predictions: FoundFolder = None, as_json: Json = False) -> None:
    """Skoltech's benchmark: the first 400 rows of a run train, the rest is scored.

    Predictions: a CSV per run, its rows plus score,alarm.
    """
    from benchmarks.published.skab import evaluate_skab, write_skab

    with working("skab", is_quiet=as_json):
        result = evaluate_skab(folder)
    if predictions is not None:
        write_skab(predictions, result.runs)
    _show(result.as_mapping(), as_json=as_json)


@app.command()
def opssat(
    folder: BenchmarkFolder,
    predictions: FoundFile = None,
    supervised: Annotated[
        bool,
        typer.Option("--supervised", help="Write the predictions that were made with labels."),
    ] = False,
    as_json: Json = False,
) -> None:
    """ESA's OPS-SAT-AD: segments without labels, and with them by cross-validation.

    Predictions: segment,score,alarm.
    """
    from benchmarks.published.opssat import evaluate_opssat, write_opssat

    with working("opssat", is_quiet=as_json):
        result = evaluate_opssat(folder)
    if predictions is not None:
        write_opssat(predictions, result, is_supervised=supervised)
    _show(result.as_mapping(), as_json=as_json)


# --- the package itself -------------------------------------------------------------------------


@app.command("one-default")
def one_default(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data sets.")],
    only: Annotated[
        str, typer.Option(metavar="TEXT", help="Besides the default, settings that hold this.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Settings chosen on all data sets but one, and what they score on that one."""
    from benchmarks.one_default import choice_lines
    from benchmarks.one_default import one_default as chosen

    found = chosen(folder, progress=_say, only=only)
    if as_json:
        print_json(found)
        return
    for line in choice_lines(found):
        typer.echo(line)


@app.command()
def repeats() -> None:
    """Equal faults that come again in made-up series, and events where nothing happens."""
    from benchmarks.repeats import bench_repeats, repeat_lines

    for line in repeat_lines(bench_repeats()):
        typer.echo(line)


Classes = Annotated[Path, typer.Argument(metavar="DIR", help="Folders of classes.")]
Quarter = Annotated[int, typer.Option(min=0, max=3, help="Of the parts, kept apart.")]
Part = Annotated[str | None, typer.Option(metavar="REGEX", help="Its first group is the part.")]
PartGap = Annotated[
    int, typer.Option(min=0, metavar="N", help="Numbers within this gap are one part.")
]


@app.command()
def surfaces(
    folder: Classes,
    quarter: Quarter = 2,
    part: Part = None,
    part_gap: PartGap = 0,
    labels: Annotated[str, typer.Option(help="none or masks.")] = "none",
    head: Annotated[str, typer.Option(help="cells or network.")] = "cells",
    minutes: Annotated[float, typer.Option(help="Most time of learning a network.")] = 10.0,
    model: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Keep the inspector here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """An inspector learnt from three quarters of the parts, held against the fourth, and timed."""
    from benchmarks.surfaces import bench_surfaces

    result = bench_surfaces(
        folder,
        quarter=quarter,
        part=part,
        part_gap=part_gap,
        labels=labels,
        is_network=head == "network",
        minutes=minutes,
        model=model,
        progress=_say,
    )
    _show(result, as_json=as_json)


@app.command()
def patchcore(
    folder: Classes,
    quarter: Quarter = 2,
    part: Part = None,
    part_gap: PartGap = 0,
    most: Annotated[int, typer.Option(min=20, help="Good pictures learnt from.")] = 200,
    share: Annotated[float, typer.Option(help="Of the patches that PatchCore keeps.")] = 0.01,
    peer_python: Annotated[
        Path, typer.Option(metavar="FILE", help="Interpreter with anomalib.")
    ] = Path(".venv-anomalib/bin/python"),
    as_json: Json = False,
) -> None:
    """An inspector beside anomalib's PatchCore with the same backbone: AUROC, and time."""
    from benchmarks.patchcore import bench_patchcore

    result = bench_patchcore(
        folder,
        quarter=quarter,
        part=part,
        part_gap=part_gap,
        most=most,
        share=share,
        peer_python=peer_python,
        progress=_say,
    )
    _show(result, as_json=as_json)


@app.command()
def house(
    against: Annotated[
        Path | None, typer.Option(metavar="DIR", help="An older checkout, or its src folder.")
    ] = None,
) -> None:
    """Count the package room by room: lines, files, importers, small files, large functions."""
    import sightline
    from benchmarks.house import house_lines, read_house

    before = read_house(against) if against is not None else None
    for line in house_lines(read_house(Path(sightline.__file__).parent), before):
        typer.echo(line)


@app.command()
def cases(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of area/case folders.")],
    only: Annotated[str, typer.Option(metavar="TEXT", help="Cases whose name holds this.")] = "",
    source: Annotated[
        Path | None,
        typer.Option(metavar="SRC", help="Commands of this checkout's src, as of before a mend."),
    ] = None,
) -> None:
    """Inputs that once failed, run again: held or fell short. Exit code 1 when one fell short."""
    from benchmarks.cases.case import run_cases

    held = short = unchecked = 0
    for result in run_cases(folder, only=only, source=source):
        if result.shortcomings is None:
            unchecked += 1
            typer.echo(f"no check    {result.name}")
            continue
        held += not result.shortcomings
        short += bool(result.shortcomings)
        word = "fell short" if result.shortcomings else "held"
        typer.echo(f"{word:11} {result.name}  ({result.wall_s:.0f} s)")
        for line in result.shortcomings:
            typer.echo(f"            {line}")
    typer.echo(f"{held} held, {short} fell short, {unchecked} have no check")
    if short or unchecked or not held:
        raise typer.Exit(1)


@app.command()
def draw(
    name: Annotated[Literal["nasa", "nab", "skab", "opssat"], typer.Argument(help="Benchmark.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the benchmark.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the pictures.")
    ],
    only: Annotated[
        Literal["hits", "misses", "false-alarms", "all"],
        typer.Option(help="Series that have at least one of these."),
    ] = "all",
    limit: Annotated[int, typer.Option(min=0, help="Most pictures; the worst first.")] = 60,
    as_json: Json = False,
) -> None:
    """Hits, misses, false alarms on a recorded benchmark, as `benchmarks nasa`, … score it."""
    from benchmarks.galleries.drawn_benchmarks import draw_benchmark

    _show(draw_benchmark(name, folder, out, only=only, limit=limit).as_mapping(), as_json=as_json)


# --- output -------------------------------------------------------------------------------------


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _show(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for name, value in _lines(result):
        typer.echo(f"{name:58} {value}")


def _lines(plain: object, prefix: str = "") -> list[tuple[str, object]]:
    """One line per value; percentiles and lists of names share one."""
    if isinstance(plain, Mapping):
        if "p50" in plain:
            return [(prefix.rstrip("."), ", ".join(f"{k} {v:g}" for k, v in plain.items()))]
        return [line for key, one in plain.items() for line in _lines(one, f"{prefix}{key}.")]
    if isinstance(plain, list) and plain and isinstance(plain[0], Mapping):
        return [line for n, one in enumerate(plain) for line in _lines(one, f"{prefix}{n + 1}.")]
    if isinstance(plain, list):
        return [(prefix.rstrip("."), ", ".join(map(str, plain)))]
    return [(prefix.rstrip("."), plain)]


if __name__ == "__main__":
    main()
