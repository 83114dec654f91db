"""The command lines of README and pages are typed, each once, on files that are made here.

A line with ``[…]``, ``…`` or ``A|B`` is typed in its shortest form, and a word such as FILE.csv is
a file of that kind. What cannot be typed here is in :data:`NOT_TYPED`, with its reason.
"""

import json
import re
import shlex
import shutil
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.mistake_files import write_rows, write_video
from sightline.cli.main import OLD_NAMES, app_for
from tests.docs.page_files import ROOT, write_files
from tests.docs.test_command_lines import PAGES, command_lines

NOT_TYPED = {
    r"^(lab )?bench\b|^demo\b": "minutes; each has a test of its own",
    r"^train |^inspect |inspection ": "needs pictures and a backbone: tests/cli",
    r"^board ": "needs boards: tests/cli",
    r"^serve ": "goes on until it is stopped: tests/console",
    r"evaluate (nasa|nab|skab|opssat|fleet|site)": "needs the data set",
    r"nyc_taxi": "needs the data set",
    r"nats|amqp|kafka|rabbit|jetstream|postgres|mqtts://broker|mqtt://|https://…": "needs a server",
    r"^(review|parts|batch|kpi|board|pod) |LINE/": "parts and jobs: tests/cli, tests/apps",
    r"^alert$|^lab evaluate$|SCHEME": "names a group, or any one",
    r"keep-bytes N": "N is a number of bytes: tests/runtime/test_pruning.py",
    r"^init (gateway|site)": "tests/cli/test_init_made_up.py",
    r"mine/today.yaml": "tests/cli/test_init_pictures.py",
    r"^publish ": "needs a broker",
    r"^doctor ": "what it finds depends on the machine: tests/runtime/test_doctor.py",
    r"^alert (ack|reset|shelve|unshelve|mask|put)": "while a run goes on: test_tutorials",
    r"^lab simulate fleet": "minutes; benchmarks test it",
    r"rtsp://|CAMERA -o|^init .*--model": "needs a camera or a model: make firsthour",
    r"FOLDER_OF_NPZ": "needs the archives of SMAP",
    r"--head ": "needs a hash that was noted",
    r"--feed-again ": "another contract: tests/cli/test_commands.py",
    r"^outbox .*(--alerts|--discard)": "needs alerts that wait: the usual mistakes in a run",
    r"replay RUN --plugins": "the tutorial a-stage-of-your-own",
    r"spread\.yaml": "files of their own: test_own_stage_page",
    r"lab\.yaml": "needs a file of a laboratory: tests/examples",
    r"^tiles .*\.(csv|parquet)": "see tiles FILE",
    r"^pod .*--linear": "needs signals",
    r"--on ray": "needs a cluster: tests/runtime/test_ray_runs.py",
    r"^model ": "needs a run that has learnt for days: tests/runtime/stages/test_expectation.py",
    r"--ledger URL|^schema upgrade": "needs a database: tests/act/test_ledger_upgrade.py",
    r"^lab track .*det\.txt": "see lab track DETECTIONS.txt",
}
WORDS = {
    "PIPELINE.yaml": "battery.yaml", "NAME=LOCATION": "telemetry=telemetry.csv",
    "TABLE.csv": "table.csv", "REPORT.html": "report.html",
    "FILE.csv": "telemetry.csv", "COL": "time", "Z": "10", "SECONDS": "3600", "USE": "alarm",
    "HITMISS.csv": "hitmiss.csv", "DETECTIONS.txt": "det.txt", "TRACKS.txt": "tracks.txt",
    "GT.txt": "gt.txt", "OUT.mp4": "out.mp4", "SUBJECT": "sat-1", "contract|pipeline": "contract",
    "east=VIDEO.mp4": "east=yard.mp4", "NAME": "alarm", "mine/housekeeping.yaml": "battery.yaml",
    "housekeeping=housekeeping.csv": "telemetry=telemetry.csv", "mine/yard.yaml": "yard.yaml",
}  # fmt: skip


def shortest(line):
    """A line without what is optional, with the first of alternatives."""
    line = line.replace("mqtt[s]", "mqtts")
    while re.search(r"\[[^\[\]]*\]", line):
        line = re.sub(r"\[[^\[\]]*\]", " ", line)
    line = re.sub(r"\s*…", " ", line)
    line = re.sub(r"(--\S+ \w+)\|--\S+ \w+", r"\1", line)
    return " ".join(re.sub(r"\|[^\s|]+", "", word) for word in line.split())


LINES = sorted(
    {
        (page.name, shortest(line))
        for page in PAGES
        for line in command_lines(page.read_text(encoding="utf-8"))
        if " " in line.strip()
    }
)
TYPED = {line: page for page, line in reversed(LINES)
         if not any(re.search(p, line) for p in NOT_TYPED)}  # fmt: skip


def sightline(words):
    return CliRunner().invoke(app_for(words), words)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with a file of each kind, a run of rows and one of a camera."""
    folder = tmp_path_factory.mktemp("typed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        write_files("README.md", folder)
        (folder / "src").symlink_to(ROOT / "src")
        header = "time,satellite,bus_voltage_v,sequence"
        write_rows(folder / "telemetry.csv", header=header, row="{iso},sat-1,{v},{s}")
        shutil.copy(folder / "telemetry.csv", folder / "housekeeping.csv")
        write_video(folder / "yard.mp4", (160, 120))
        assert sightline(["init", "yard.mp4", "-o", "."]).exit_code == 0
        site = (folder / "yard.yaml").read_text()
        (folder / "site.yaml").write_text(
            site.replace("  yard:", "  east:").replace("camera: yard", "camera: east")
        )
        for name, given in {"RUN": "telemetry=telemetry.csv", "runs/yard": "east=yard.mp4"}.items():
            pipeline = "desk.yaml" if name == "RUN" else "site.yaml"
            (folder / "desk.yaml").write_text(
                (folder / "battery.yaml").read_text() + "alerting: {}\n"
            )
            done = sightline(["run", pipeline, "--source", given, "--out", name])
            assert done.exit_code == 0, done.output
        (folder / "runs" / "demo").mkdir(parents=True)
        made = sightline(["init", "gateway", "-o", "gateway"])
        assert made.exit_code == 0, made.output
        for name in ("telemetry", "logs"):
            shutil.copy(folder / "gateway" / "input" / f"{name}.parquet", folder)
        sizes = np.linspace(0.2, 3, 60)
        chance = np.random.default_rng(1).uniform(size=60)
        hits = [
            f"{s:.3f},{int(c < 1 / (1 + np.exp(-4 * (s - 1.5))))}"
            for s, c in zip(sizes, chance, strict=True)
        ]
        (folder / "hitmiss.csv").write_text("\n".join(["size,hit", *hits]) + "\n")
        boxes = [f"{f},-1,{10 + f},20,20,60,0.9,-1,-1,-1" for f in range(1, 30)]
        (folder / "det.txt").write_text("\n".join(boxes) + "\n")
        truth = [f"{f},1,{10 + f},20,20,60,1,1,1" for f in range(1, 30)]
        (folder / "gt.txt").write_text("\n".join(truth) + "\n")
        assert (
            sightline(["lab", "track", "det.txt", "-o", "tracks.txt", "--fps", "25"]).exit_code == 0
        )
        (folder / "tiles.csv").write_text("time,lon,lat,score\n2026-01-01T00:00:00Z,7.1,50.7,0.5\n")
        found = json.loads(sightline(["decisions", "RUN", "--json"]).output)["newest"]
        yield folder, found[0]["decision_id"]
    for name in ("spread", "jumps", "brightness", "notebook_lines"):
        sys.modules.pop(name, None)


def typed(line, decision_id, number):
    """The words of a line, with files that there are in place of those that stand for any."""
    words = [WORDS.get(word, word) for word in shlex.split(line)]
    if words[0] == "tiles":
        words[1] = "tiles.csv"
    if words[0] == "detect":
        words = ["telemetry.csv" if word == "FILE" else word for word in words]
        at = words.index("--value") + 1
        words[at] = "bus_voltage_v"
        words = ["satellite" if words[i - 1] == "--key" else w for i, w in enumerate(words)]
        words = ["all" if words[i - 1] == "--explain" else w for i, w in enumerate(words)]
    if words[0] == "init":
        words = ["telemetry.csv" if word == "FILE" else word for word in words]
    if words[0] == "check" and words[1] == "FILE":
        words[1] = "site.yaml"
    if words[0] == "render":
        words = ["east=yard.mp4" if word == "yard=yard.mp4" else word for word in words]
    if words[0] in ("render",) or words[:3] == ["lab", "evaluate", "site"]:
        words = ["runs/yard" if word == "RUN" else word for word in words]
    if words[0] in ("run", "live"):
        words[words.index("--out") + 1] = f"out-{number}"
    if words[0] == "render":
        words[words.index("-o") + 1] = f"out-{number}.mp4"
    if words[0] == "init":
        words[words.index("-o") + 1] = f"out-{number}"
    if "ID" in words or re.fullmatch("[0-9a-f]{8}", words[-1]):
        words = [decision_id if w == "ID" or re.fullmatch("[0-9a-f]{8}", w) else w for w in words]
    return ["yard=yard.mp4" if word == "yard=VIDEO.mp4" else word for word in words]


NUMBERED = [
    pytest.param(n, line, id=line[:60], marks=() if page == "README.md" else pytest.mark.soak)
    for n, (line, page) in enumerate(TYPED.items())
]


@pytest.mark.parametrize(("number", "line"), NUMBERED)
def test_a_line_can_be_typed(house, monkeypatch, number, line):
    folder, decision_id = house
    monkeypatch.chdir(folder)
    words = typed(line, decision_id, number)
    done = sightline(words)
    assert done.exit_code == 0, f"sightline {shlex.join(words)}: {done.output} {done.exception!r}"


def test_most_lines_are_typed():
    assert len(TYPED) >= 40
    assert all(line.split()[0] not in OLD_NAMES for line in TYPED)
