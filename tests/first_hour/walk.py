"""The first hour of a newcomer, typed as they would type it: `make firsthour`.

Each step is a command of the installed wheel, in a folder of its own with the newcomer's files and
nothing else. What it printed is kept as ``NN-name.txt``. A step that does not do what it must ends
the walk with 1: an alert that did not arrive, a satellite whose fault nobody was told of, a word
that only somebody who wrote the code can know.
"""

import argparse
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import inputs

MOST_S = 600.0
IMPORT_S = 0.5
OPERATOR = "Ana Silva"
HELP_S = {"first --help": 2.0, "next --help": 1.0}


class Receiver:
    """A web server on this machine that takes alerts."""

    def __init__(self):
        self.got = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"


class Walk:
    """Types commands, keeps what they print, and counts what went wrong."""

    def __init__(self, sightline, folder):
        self.sightline, self.folder = str(sightline), folder
        self.step = 0
        self.faults = []
        self.environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def _command(self, words):
        return [self.sightline, *map(str, words)]

    def type(self, name, *words, code=0, stdin=None):
        """Run one command to its end; the text that it printed."""
        begun_s = time.monotonic()
        with stdin.open("rb") if stdin else open(os.devnull, "rb") as given:  # noqa: PTH123
            done = subprocess.run(
                self._command(words), check=False, cwd=self.folder, env=self.environment, text=True,
                capture_output=True, stdin=given, timeout=MOST_S,
            )  # fmt: skip
        took_s = time.monotonic() - begun_s
        self.keep(name, words, done.stdout + done.stderr, done.returncode, took_s)
        if done.returncode != code:
            self.fault(name, f"exit code {done.returncode}, not {code}")
        if "Traceback (most recent call last)" in done.stdout + done.stderr:
            self.fault(name, "a traceback")
        return done.stdout + done.stderr, done.stdout, took_s

    def begin(self, *words):
        """Start one command that goes on."""
        return subprocess.Popen(
            self._command(words), cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def keep(self, name, words, text, code, took_s):
        """Write down a step."""
        self.step += 1
        file = self.folder / f"{self.step:02d}-{name}.txt"
        typed = " ".join(["sightline", *map(str, words)])
        file.write_text(f"$ {typed}\n{text}\n[exit code {code}, {took_s:.1f} s]\n")
        print(f"{self.step:02d} {took_s:6.1f} s  {typed}", flush=True)

    def must(self, name, holds, what):
        """Note a fault unless ``holds``."""
        if not holds:
            self.fault(name, what)

    def fault(self, name, what):
        """Note a fault."""
        self.faults.append(f"{name}: {what}")
        print(f"   FAULT  {name}: {what}", flush=True)


def import_time_s(command):
    """How long ``import sightline`` takes in the environment of the command."""
    python = Path(command).with_name("python")
    script = (
        "import time; a = time.perf_counter(); import sightline; print(time.perf_counter() - a)"
    )
    done = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True)
    return float(done.stdout)


def next_command(text):
    """The words after ``next`` that `init` prints, without the program."""
    found = re.search(r"^next +sightline (.+)$", text, re.MULTILINE)
    return found[1].split() if found else []


def satellites(walk, receiver):
    """From a table to alerts, an explanation, an acknowledgement, a report and a replay."""
    text, _, _ = walk.type("init-table", "init", "housekeeping.csv", "-o", "mine")
    words = next_command(text)
    walk.must("init-table", words[:1] == ["run"], "no command to type next")
    walk.must("init-table", "refused   no row" in text, "rows would be refused")
    walk.type("check-table", "check", "mine/housekeeping.yaml")
    words = ["RUN-1" if word == "RUN" else word for word in words]
    walk.type("run-table", *words, "--alerts", receiver.url)
    told = json.dumps(receiver.got)
    for subject, fault in inputs.FAULTS.items():
        walk.must("run-table", f'"{subject}"' in told, f"no alert of the {fault} of {subject}")
    said = " ".join(str(message.get("text")) for message in receiver.got)
    walk.must("run-table", "sightline explain" in said, "alerts do not say how to ask why")
    walk.must("run-table", " V" in said, "alerts say no value with its unit")
    walk.type("decisions", "decisions", "RUN-1")
    _, found, _ = walk.type("decisions-json", "decisions", "RUN-1", "--json")
    rows = json.loads(found)["newest"]
    chosen = next(row for row in rows if row["subject"] == "SAT-2/BUS_VOLTAGE")
    text, _, _ = walk.type("explain", "explain", "RUN-1", chosen["decision_id"][:8])
    walk.must("explain", "BUS_VOLTAGE" in text and " V" in text, "no value with its unit")
    walk.type("explain-picture", "explain", "RUN-1", chosen["decision_id"], "-o", "why.svg")
    walk.must("explain-picture", (walk.folder / "why.svg").exists(), "no picture")
    walk.type("report", "report", "RUN-1", "-o", "report.html")
    walk.must("report", (walk.folder / "report.html").exists(), "no page")
    walk.type("replay", "replay", "RUN-1")
    walk.type("verify", "verify", "RUN-1")

    text, _, _ = walk.type(
        "stdin", "run", "mine/housekeeping.yaml", "--source", "housekeeping=-", "--out", "RUN-2",
        stdin=walk.folder / "housekeeping.csv",
    )  # fmt: skip
    _, found, _ = walk.type("stdin-decisions", "decisions", "RUN-2", "--json")
    ids = [row["decision_id"] for row in json.loads(found)["newest"]]
    same = ids == [row["decision_id"] for row in rows]
    walk.must("stdin", same, "other decisions than from the file")


def acknowledging(walk, receiver):
    """An alarm is acknowledged while the run goes on."""
    began_s = time.monotonic()
    words = [
        "run", "mine/housekeeping.yaml", "--source", "housekeeping=housekeeping.csv", "--out",
        "RUN-3", "--speed", "200x", "--alerts", receiver.url,
    ]  # fmt: skip
    process = walk.begin(*words)
    standing = []
    while not standing and process.poll() is None:
        time.sleep(1)
        shown = subprocess.run(
            walk._command(["alerts", "RUN-3", "--json"]), check=False, cwd=walk.folder, text=True,
            env=walk.environment, capture_output=True,
        )  # fmt: skip
        if shown.returncode == 0:
            standing = json.loads(shown.stdout)["standing"]
    if standing:
        subject, code = standing[0]["subject"], standing[0]["code"]
        words = ["alert", "acknowledge", "RUN-3", subject, "--operator", OPERATOR]
        walk.type("acknowledge", *words)
        walk.type("acknowledge-unknown", "alert", "acknowledge", "RUN-3", "SAT-9", code=2)
    else:
        walk.fault("acknowledge", "no alarm while the run went on")
    text, _ = process.communicate(timeout=MOST_S)
    walk.keep("run-paced", words, text, process.returncode, time.monotonic() - began_s)
    _, found, _ = walk.type("alerts", "alerts", "RUN-3", "--json")
    if standing:
        states = {
            row["state"]
            for row in json.loads(found)["standing"]
            if (row["subject"], row["code"]) == (subject, code)
        }
        is_seen = all("unacknowledged" not in state for state in states)
        walk.must("alerts", is_seen, f"the acknowledged alarm of {subject} is {states}")
        _, found, _ = walk.type("decisions-paced", "decisions", "RUN-3", "--json")
        alarm = next(r for r in json.loads(found)["newest"] if r["subject"] == subject)
        text, _, _ = walk.type("explain-acknowledged", "explain", "RUN-3", alarm["decision_id"])
        walk.must("explain-acknowledged", OPERATOR in text, "who acknowledged it is not said")


def cameras(walk, receiver):
    """From a phone's video to a zone alarm, by what moves and by a model."""
    for name, more in (("moves", []), ("sees", ["--model", "detector.onnx"])):
        receiver.got.clear()
        text, _, _ = walk.type(f"init-{name}", "init", "phone.mp4", "-o", name, *more)
        walk.must(f"init-{name}", "360 x 640 px" in text, "the video is not turned")
        run = f"RUN-{name}"
        words = [run if word == "RUN" else word for word in next_command(text)]
        walk.type(f"run-{name}", *words, "--alerts", receiver.url)
        told = json.dumps(receiver.got)
        walk.must(f"run-{name}", "IN_FORBIDDEN_ZONE" in told, "no zone alarm arrived")
        walk.type(f"decisions-{name}", "decisions", run)
        _, found, _ = walk.type(f"decisions-{name}-json", "decisions", run, "--json")
        entered = [r for r in json.loads(found)["newest"] if r["kind"] == "in_forbidden_zone"]
        if entered:
            walk.type(f"explain-{name}", "explain", run, entered[0]["decision_id"][:8])
        walk.type(f"report-{name}", "report", run, "-o", f"{name}.html")
    text, _, _ = walk.type("check-model", "check", "sees/phone.yaml")


def swapped(walk):
    """Two cameras are given each other's video: the advice is followed."""
    sizes_px = {"gate": (320, 240), "yard": (480, 360)}
    contracts = "".join(
        f"  {name}:\n    contract: {{width_px: {width}, height_px: {height}, rate_hz: 15, "
        "max_age_s: 1}\n    detector: moves\n"
        for name, (width, height) in sizes_px.items()
    )
    text = f"use: site\npipeline: two\ndetectors: {{moves: {{use: motion}}}}\ncameras:\n{contracts}"
    (walk.folder / "two.yaml").write_text(text)
    for name, size_px in sizes_px.items():
        inputs.write_small_video(walk.folder / f"{name}.avi", size_px)
    words = ["run", "two.yaml", "--source", "gate=yard.avi", "--source", "yard=gate.avi", "--out"]
    text, _, _ = walk.type("swapped", *words, "RUN-6", code=5)
    walk.must("swapped", "swap the two" in text, "it is not said that they are swapped")
    words = ["run", "two.yaml", "--source", "gate=gate.avi", "--source", "yard=yard.avi", "--out"]
    walk.type("swapped-back", *words, "RUN-7")


def mishaps(walk):
    """What goes wrong says so."""
    text, _, _ = walk.type(
        "dead-webhook", "run", "mine/housekeeping.yaml", "--source",
        "housekeeping=housekeeping.csv", "--out", "RUN-4", "--alerts", "http://127.0.0.1:9/x",
        code=7,
    )  # fmt: skip
    walk.must("dead-webhook", "refused" in text.lower(), "the cause is not named")
    (walk.folder / "other.csv").write_text("time,sat,volt\n" + "1,a,2\n" * 50)
    text, _, _ = walk.type(
        "wrong-table", "run", "mine/housekeeping.yaml", "--source", "housekeeping=other.csv",
        "--out", "RUN-5", code=5,
    )  # fmt: skip
    walk.must("wrong-table", "Satellite" in text, "the missing column is not named")


def main():
    """Walk, and leave with 1 where anything fell short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sightline", type=Path, required=True, help="the installed command")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    given = parser.parse_args()
    folder = given.out.absolute()
    folder.mkdir(parents=True)
    walk, receiver = Walk(given.sightline.absolute(), folder), Receiver()
    inputs.write_table(folder / "housekeeping.csv")
    inputs.write_video(folder / "phone.mp4")
    inputs.write_model(folder / "detector.onnx")
    began_s = time.monotonic()
    for name, most_s in HELP_S.items():
        _, _, took_s = walk.type(name.replace(" --", "-"), "--help")
        print(f"          {name}: {took_s:.2f} s, at most {most_s:g} s", flush=True)
        walk.must(name, took_s <= most_s, f"{took_s:.2f} s")
    took_s = import_time_s(walk.sightline)
    print(f"          import sightline: {took_s:.2f} s, at most {IMPORT_S:g} s", flush=True)
    walk.must("import", took_s <= IMPORT_S, f"{took_s:.2f} s")
    walk.type("version", "--version")
    satellites(walk, receiver)
    acknowledging(walk, receiver)
    cameras(walk, receiver)
    swapped(walk)
    mishaps(walk)
    took_s = time.monotonic() - began_s
    walk.must("the first hour", took_s <= MOST_S, f"{took_s:.0f} s")
    print(f"{walk.step} steps, {took_s:.0f} s, {len(walk.faults)} faults; kept in {folder}")
    for fault in walk.faults:
        print(f"  {fault}")
    sys.exit(bool(walk.faults))


if __name__ == "__main__":
    main()
