"""The KPI job: run again it does nothing, and late, bad or changed files have their own answer."""

import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
import yaml

from sightline.act.kpi_ledger import KpiLedger
from sightline.errors import LogError, PipelineError, SourceError, UsageError
from sightline.limits import Limits
from sightline.perceive.signal_quality import signal_quality
from sightline.records.signals import NS_PER_S
from sightline.runtime.kpis.form import load_kpis
from sightline.runtime.kpis.job import run_kpis
from sightline.runtime.kpis.plan import Status, Why
from sightline.sense.objects import open_folder

DAY_NS = 86_400 * NS_PER_S
FIRST_DAY = 20_454  # 2026-01-01
CONTRACT = {
    "contract": "telemetry",
    "key": ["terminal"],
    "event_time": {"column": "time", "format": "unix_s"},
    "fields": {
        "snr_db": {"type": "number", "unit": "dB", "range": [-20, 60]},
        "lost": {"type": "number", "unit": "1", "required": False},
    },
}
METRICS = {
    "kpis": "link",
    "contract": "contract.yaml",
    "metrics": {
        "snr": {"version": 1, "unit": "dB", "field": "snr_db", "statistic": "median"},
        "outage": {"version": 1, "unit": "1", "field": "snr_db", "statistic": "below_5"},
    },
}
HOURLY = {"version": 1, "unit": "dB", "field": "snr_db", "statistic": "max", "width_s": 3600}
TREND = {
    "version": 1,
    "unit": "dB",
    "smooth": {"of": "snr", "half_life_windows": 1, "warm_up_windows": 2},
}


def day(number, *, snr_db=10.0, rows=240, terminals=4, seed=0, **columns):
    rng = np.random.default_rng([seed, number])
    at_s = (FIRST_DAY + number) * 86_400 + rng.permutation(86_400)[:rows]
    return pl.DataFrame(
        {
            "terminal": [f"t{i % terminals}" for i in range(rows)],
            "time": at_s,
            "snr_db": rng.normal(snr_db, 3.0, rows),
            **columns,
        }
    )


class Job:
    """A folder of files, a file of metrics, and a database."""

    def __init__(self, folder, url=None):
        self.folder, self.files = folder, folder / "in"
        self.files.mkdir()
        self.url = url or f"sqlite:///{folder / 'kpis.sqlite'}"
        self.metrics()

    def metrics(self, contract=None, **changed):
        (self.folder / "contract.yaml").write_text(yaml.safe_dump(CONTRACT | (contract or {})))
        (self.folder / "metrics.yaml").write_text(yaml.safe_dump(METRICS | changed))
        return self

    def add(self, name, frame):
        frame.write_parquet(self.files / f"{name}.parquet")
        return self

    def days(self, *numbers, **how):
        for number in numbers:
            self.add(f"day{number}", day(number, **how))
        return self

    def run(self, **how):
        with KpiLedger.open(self.url) as ledger:
            return run_kpis(
                load_kpis(self.folder / "metrics.yaml"), open_folder(str(self.files)), ledger, **how
            )

    def values(self, metric="snr", version=1):
        with KpiLedger.open(self.url) as ledger:
            return ledger.values("link", metric, version, start_ns=0, end_ns=1 << 62)

    def all_rows(self):
        engine = sa.create_engine(self.url)
        with engine.connect() as connection:
            found = {
                name: sorted(map(tuple, connection.exec_driver_sql(f"SELECT {what} FROM {name}")))
                for name, what in (
                    ("kpi_values", "*"),
                    ("kpi_manifests", "metric, window_start_ns, revision, status, inputs"),
                )
            }
        engine.dispose()
        return found


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path)


def days_of(report):
    return sorted({(d.window_start_ns // DAY_NS - FIRST_DAY, d.revision) for d in report.done})


# --- values ---------------------------------------------------------------------------------------


def test_median_and_outage_rate_are_those_of_signal_quality(job):
    job.days(0, 1).run()
    rows = pl.concat([day(0), day(1)]).filter(pl.col("terminal") == "t1")
    expected = signal_quality(
        rows["time"].to_numpy().astype(float),
        rows["snr_db"].to_numpy(),
        threshold_db=5.0,
        window_s=86_400.0,
        align="epoch",
        time_unit="s",
    )
    own = job.values("snr").filter(pl.col("subject") == "t1")
    assert own["value"].to_list() == expected.window_median_db.tolist()
    outage = job.values("outage").filter(pl.col("subject") == "t1")
    assert outage["value"].to_list() == expected.window_outage_rate.tolist()
    assert own["window_start_ns"].to_list() == expected.start_ns.tolist()


def test_values_are_the_same_bits_however_the_rows_are_spread_over_files(tmp_path):
    rows = pl.concat([day(0), day(1)])
    found = []
    for name, cuts in (("one", 1), ("many", 7)):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        shuffled = rows.sample(fraction=1.0, shuffle=True, seed=cuts)
        for number, part in enumerate(shuffled.iter_slices(-(-rows.height // cuts))):
            job.add(f"part{number}", part)
        job.run(limits=Limits(kpi_rows_at_once=100 if cuts > 1 else 10_000, chunk_rows=64))
        found.append(job.values().drop("revision"))
    assert found[0].equals(found[1])


def test_of_a_row_that_comes_twice_one_counts(job):
    job.days(0).add("again", day(0))
    report = job.run()
    assert report.superseded == 240
    assert job.values()["rows"].sum() == 240


def test_metrics_of_other_widths_and_of_expressions(job):
    share = {"version": 1, "unit": "1", "sql": "avg(case when snr_db < 5 then 1 else 0 end)"}
    job.metrics(metrics=METRICS["metrics"] | {"hourly": HOURLY, "share": share}).days(0).run()
    assert job.values("share")["value"].to_list() == job.values("outage")["value"].to_list()
    assert job.values("hourly").height > job.values().height


# --- again, late, and back ------------------------------------------------------------------------


def test_run_again_it_does_nothing(job):
    job.days(0, 1, 2).run()
    before = job.all_rows()
    report = job.run()
    assert (report.done, report.rows, report.new_files) == ([], 0, 0)
    assert job.all_rows() == before


def test_a_late_file_computes_the_window_it_touches_and_keeps_the_old_revision(job):
    job.days(0, 1, 2).run()
    old = job.values()
    report = job.add("late", day(1, snr_db=20.0, rows=40, seed=9)).run()
    assert days_of(report) == [(1, 1)]
    assert {done.why for done in report.done} == {Why.LATE}
    new = job.values()
    changed = (new["value"] != old["value"]).to_numpy()
    assert set(new["window_start_ns"].to_numpy()[changed] // DAY_NS - FIRST_DAY) == {1}
    revisions = {row[6] for row in job.all_rows()["kpi_values"]}
    assert revisions == {0, 1}


def test_late_and_in_time_give_the_same_values(tmp_path):
    found = []
    for name in ("late", "whole"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        job.days(0, 1)
        if name == "late":
            job.run()
        job.add("late", day(1, seed=9)).run()
        found.append(job.values().drop("revision"))
    assert found[0].equals(found[1])


def test_a_file_of_two_far_days_touches_only_these(job):
    job.days(0, 1, 2).run()
    report = job.add("both", pl.concat([day(0, seed=5, rows=9), day(2, seed=5, rows=9)])).run()
    assert days_of(report) == [(0, 1), (2, 1)]


def test_a_dry_run_says_what_a_run_does_and_stores_nothing(job):
    job.days(0, 1).run()
    job.add("late", day(1, seed=9)).days(2)
    before = job.all_rows()
    dry = job.run(is_dry=True)
    assert job.all_rows() == before
    real = job.run()
    assert [(d.metric, d.window_start_ns, d.revision, d.why) for d in dry.done] == [
        (d.metric, d.window_start_ns, d.revision, d.why) for d in real.done
    ]
    assert {d.status for d in dry.done} == {None}


def test_only_windows_inside_the_range_are_computed(job):
    start_ns = (FIRST_DAY + 1) * DAY_NS
    report = job.days(0, 1, 2).run(since_ns=start_ns, until_ns=start_ns + DAY_NS)
    assert days_of(report) == [(1, 0)]
    assert days_of(job.run()) == [(0, 0), (2, 0)]


def test_a_new_version_is_computed_beside_the_old_one_over_a_range(job):
    job.days(0, 1, 2).run()
    metrics = METRICS["metrics"] | {
        "snr": METRICS["metrics"]["snr"] | {"version": 2, "statistic": "mean"}
    }
    start_ns = (FIRST_DAY + 1) * DAY_NS
    report = job.metrics(metrics=metrics).run(since_ns=start_ns)
    assert {(d.metric, d.version) for d in report.done} == {("snr", 2)}
    assert job.values("snr", 2)["window_start_ns"].min() == start_ns
    assert job.values("snr", 1).height == 12


def test_another_meaning_under_the_same_version_is_refused(job):
    job.days(0).run()
    metrics = METRICS["metrics"] | {"snr": METRICS["metrics"]["snr"] | {"statistic": "mean"}}
    with pytest.raises(PipelineError, match="write `version: 2`"):
        job.metrics(metrics=metrics).run()


def test_a_correction_computes_the_windows_it_touches_again(job):
    job.days(0, 1, 2).run()
    old = job.values().filter(pl.col("window_start_ns") == (FIRST_DAY + 1) * DAY_NS)
    correction = {"field": "snr_db", "offset": 2.0, "start": "2026-01-02T00:00:00Z",
                  "end": "2026-01-03T00:00:00Z"}  # fmt: skip
    report = job.metrics(calibration=[correction]).run()
    assert days_of(report) == [(1, 1)]
    assert {d.why for d in report.done} == {Why.CALIBRATION}
    new = job.values().filter(pl.col("window_start_ns") == (FIRST_DAY + 1) * DAY_NS)
    assert np.allclose(new["value"] - old["value"], 2.0)
    assert not job.run().done


# --- metrics with a memory ------------------------------------------------------------------------


def test_a_smoothed_metric_looks_at_its_warm_up_and_the_manifest_says_at_which_windows(job):
    job.metrics(metrics=METRICS["metrics"] | {"trend": TREND}).days(0, 1, 2, 3).run()
    snr = job.values("snr").filter(pl.col("subject") == "t0")["value"].to_numpy()
    trend = job.values("trend").filter(pl.col("subject") == "t0")["value"].to_numpy()
    assert trend[3] == pytest.approx(np.average(snr[1:4], weights=[0.25, 0.5, 1.0]))
    assert trend[0] == snr[0]
    with KpiLedger.open(job.url) as ledger:
        manifest = ledger.manifest("link", "trend", window_start_ns=(FIRST_DAY + 1) * DAY_NS)
    assert (manifest["warm_up"]["wanted"], manifest["warm_up"]["found"]) == (2, 1)


def test_late_rows_also_change_the_smoothed_windows_after_them(job):
    job.metrics(metrics=METRICS["metrics"] | {"trend": TREND}).days(0, 1, 2, 3, 4).run()
    report = job.add("late", day(1, seed=9)).run()
    trend = {(d.window_start_ns // DAY_NS - FIRST_DAY, d.why) for d in report.done
             if d.metric == "trend"}  # fmt: skip
    assert trend == {(n, Why.WARM_UP) for n in (1, 2, 3)}
    assert not job.run().done


# --- files that are not as they were --------------------------------------------------------------


def test_a_file_that_was_rewritten_is_refused(job):
    job.days(0, 1).run()
    before = job.all_rows()
    job.add("day1", day(1, seed=4, rows=100))
    with pytest.raises(SourceError, match=r"only ever added, got other contents in day1\.parquet"):
        job.run()
    assert job.all_rows() == before


def test_a_file_that_was_touched_but_is_the_same_is_taken(job):
    job.days(0).run()
    content = (job.files / "day0.parquet").read_bytes()
    (job.files / "day0.parquet").write_bytes(content)
    assert not job.run().done


def test_a_file_that_is_gone_leaves_its_windows_as_they_are(job):
    job.days(0, 1).run()
    (job.files / "day0.parquet").unlink()
    assert job.run().gone == ["day0.parquet"]
    assert job.values().height == 8
    assert not job.run().done
    with pytest.raises(SourceError, match=r"day0\.parquet gone"):
        job.add("late", day(0, seed=9)).run()
    assert job.values()["revision"].max() == 0


def test_a_column_that_was_added_changes_nothing(job):
    job.days(0).add("day1", day(1).with_columns(humidity=pl.lit(3.0)))
    assert days_of(job.run()) == [(0, 0), (1, 0)]


def test_the_name_of_a_file_may_tell_whose_rows_it_has(job):
    job.metrics(contract={"key": ["file"], "origin_column": "file"})
    job.add("north", day(0, snr_db=20.0)).add("south", day(0, snr_db=5.0)).run()
    values = dict(job.values().select("subject", "value").iter_rows())
    assert values["north"] == pytest.approx(20, abs=1)
    assert values["south"] == pytest.approx(5, abs=1)


def test_a_column_that_was_renamed_is_refused_with_what_to_write_and_then_read(job):
    job.days(0).add("day1", day(1).rename({"snr_db": "snr"}))
    with pytest.raises(SourceError, match=r"expected a column snr_db.*renamed.*snr_db: \[NAME\]"):
        job.run()
    assert not job.all_rows()["kpi_values"]
    job.metrics(renamed={"snr_db": ["snr"]}).run()
    assert job.values().height == 8
    assert job.values()["value"].null_count() == 0


def test_a_column_that_became_text_is_read_as_the_numbers_it_says(job):
    rows = day(1)
    job.days(0).add("day1", rows.with_columns(pl.col("snr_db").cast(pl.String))).run()
    expected = rows.filter(pl.col("terminal") == "t0")["snr_db"].median()
    assert job.values().row(1)[4] == pytest.approx(expected)


def test_a_column_that_became_something_else_holds_its_day(job):
    rows = day(1).with_columns(pl.lit("broken").alias("snr_db"))
    report = job.days(0).add("day1", rows).run()
    assert job.values().height == 4
    held = [d for d in report.done if d.status is Status.HELD]
    assert {d.window_start_ns // DAY_NS - FIRST_DAY for d in held} == {1}
    assert report.refused == {"SCHEMA": 240}


def test_a_damaged_file_is_named_and_nothing_is_published(job):
    job.days(0)
    (job.files / "day1.parquet").write_bytes(b"PAR1 and then nothing of it PAR1")
    with pytest.raises(SourceError, match=r"day1\.parquet: expected a Parquet file"):
        job.run()
    assert not job.all_rows()["kpi_values"]


def test_times_that_cannot_be_read_are_refused_by_file(job):
    job.add("day0", day(0).with_columns(pl.lit("soon").alias("time")))
    with pytest.raises(SourceError, match=r"240 of 240 rows without one"):
        job.run()


# --- gates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gates", "bad", "reason"),
    [
        ({"rows_least": 100}, {"rows": 40}, "40 rows, fewer than 100"),
        ({"refused_share_most": 0.01}, {"snr_db": 60.0}, "break the contract"),
        ({"subjects_share_least": 0.9}, {"terminals": 1}, "1 subjects, after 4 before"),
        ({"metrics": {"snr": {"most": 30}}}, {"snr_db": 45.0}, "subjects outside None to 30"),
    ],
)
def test_a_bad_day_is_held_with_its_reason(job, gates, bad, reason):
    job.metrics(gates=gates).days(0).run()
    report = job.days(1, **bad).run()
    held = [d for d in report.done if d.status is Status.HELD]
    assert any(reason in text for d in held for text in d.reasons)
    assert (FIRST_DAY + 1) * DAY_NS not in job.values("snr")["window_start_ns"]


def test_a_day_that_is_held_stays_held_until_its_rows_come_or_somebody_accepts_it(job):
    job.metrics(gates={"rows_least": 100}).days(0, 1, rows=40).run()
    assert job.values().height == 0
    assert job.run().held == 4
    report = job.add("rest", day(0, seed=9)).run()
    assert days_of(report) == [(0, 1)]
    assert job.values().height == 4
    report = job.run(accepted=[(FIRST_DAY + 1) * DAY_NS])
    assert {(d.why, d.status) for d in report.done} == {(Why.ACCEPTED, Status.PUBLISHED)}
    assert job.values().height == 8
    assert job.run().held == 0


# --- kills, and two at once -----------------------------------------------------------------------


def test_two_jobs_at_once_publish_each_window_once(job):
    job.days(0, 1)
    kpis, folder = load_kpis(job.folder / "metrics.yaml"), open_folder(str(job.files))
    with KpiLedger.open(job.url) as first, KpiLedger.open(job.url) as second:

        def meanwhile(text):
            if text.startswith("step"):
                run_kpis(kpis, folder, second)

        with pytest.raises(LogError, match="another one has stored meanwhile"):
            run_kpis(kpis, folder, first, on_progress=meanwhile)
    assert job.values().height == 8
    assert not job.run().done


KILLED = """
import sys, time
from pathlib import Path
from sightline.act.kpi_ledger import KpiLedger
from sightline.limits import Limits
from sightline.runtime.kpis.form import load_kpis
from sightline.runtime.kpis.job import run_kpis
from sightline.sense.objects import open_folder
folder = Path(sys.argv[1])
def said(text):
    print(text, flush=True)
    time.sleep(60 if text.startswith("step 4") else 0)  # until it is killed
with KpiLedger.open(f"sqlite:///{folder / 'kpis.sqlite'}") as ledger:
    run_kpis(load_kpis(folder / "metrics.yaml"), open_folder(str(folder / "in")), ledger,
             limits=Limits(kpi_rows_at_once=240), on_progress=said)
"""


def test_a_job_that_was_killed_goes_on_and_ends_with_the_same_rows(tmp_path):
    found = []
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
        job = Job(tmp_path / name)
        job.days(*range(6))
        if name == "killed":
            started = [sys.executable, "-c", KILLED, str(job.folder)]
            with subprocess.Popen(started, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout:
                    if line.startswith("step 4"):
                        process.kill()
            assert 0 < job.values().height < 24
        job.run()
        found.append(job.all_rows())
    assert found[0] == found[1]


def test_values_lie_in_postgresql_too(tmp_path):
    address = "postgresql+psycopg://postgres@localhost:5432/test"
    engine = sa.create_engine(address, connect_args={"connect_timeout": 2})
    schema = f"kpis_{time.time_ns()}"
    try:
        with engine.begin() as connection:
            connection.execute(sa.schema.CreateSchema(schema))
    except sa.exc.OperationalError as error:
        pytest.skip(f"no answer from localhost:5432 ({error.orig})")
    try:
        job = Job(tmp_path, f"{address}?options=-csearch_path%3D{schema}")
        job.days(0, 1).run()
        job.add("late", day(1, seed=9)).run()
        assert job.values()["revision"].to_list() == [0, 1] * 4
        assert not job.run().done
    finally:
        with engine.begin() as connection:
            connection.execute(sa.schema.DropSchema(schema, cascade=True))
        engine.dispose()


# --- what cannot be meant -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"snr": {"version": 1, "unit": "dB", "field": "nothing", "statistic": "mean"}}, "snr_db"),
        ({"snr": {"version": 1, "unit": "dB", "field": "snr_db", "statistic": "mode"}}, "median"),
        ({"snr": {"version": 1, "unit": "dB", "sql": "(select 1)"}}, "no query"),
        ({"snr": {"version": 1, "unit": "dB"}}, "exactly one of"),
        ({"t": TREND}, "snr"),
    ],
)
def test_metrics_that_do_not_fit_are_refused_before_a_file_is_read(job, changed, said):
    job.metrics(metrics=changed)
    with pytest.raises(PipelineError, match=said):
        job.run()


def test_too_many_windows_at_once_are_refused(job):
    with pytest.raises(UsageError, match="give --since and --until"):
        job.days(0, 1).run(limits=Limits(kpi_windows=3))


def test_a_folder_without_files_is_refused(job):
    with pytest.raises(SourceError, match=r"files that end in \.parquet"):
        job.run()
