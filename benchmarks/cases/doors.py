"""Checks of what files of others, texts in keys, clocks and bounds can do to a run."""

from __future__ import annotations

import json
import xml.dom.minidom
from collections.abc import Iterator

from benchmarks.cases.case import Case, case

_CONTRACT = """\
contract: t
version: "1"
key: [k]
event_time: {column: time, format: iso8601, time_zone: utc}
fields: {v: {type: number, unit: V, required: true}}
timing: {out_of_order_s: 0, revision_allowance_s: 0, max_backlog_s: 86400, clock_skew_s: 5}
expected_rate_hz: 1
"""
_PIPELINE = """\
pipeline: p
tick_s: 1
sources: {t: {contract: c.yaml}}
stages:
  w: {use: windows, input: t, width_s: 1, statistics: [count, max]}
  a: {use: alarm, input: w, measure: v.max, unit: V, raise_above: 3, clear_below: 1, code: X}
"""
_ROWS = "k,time,v\n" + "".join(f"a,2026-01-01T00:00:{s:02}Z,{s % 7}\n" for s in range(60))


def _begin(c: Case) -> None:
    (c.folder / "c.yaml").write_text(_CONTRACT)
    (c.folder / "p.yaml").write_text(_PIPELINE)
    (c.folder / "t.csv").write_text(_ROWS)


def _changed(c: Case, name: str, old: str, new: str) -> None:
    (c.folder / name).write_text(_PIPELINE.replace(old, new))


@case("reliability/18_yaml")
def yaml_of_others(c: Case) -> Iterator[str]:
    """Every hostile document is refused with exit 4 or 3, quickly and without a traceback."""
    _begin(c)
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    (c.folder / "bomb.yaml").write_text(bomb + _PIPELINE + "version: *a8\n")
    (c.folder / "deep.yaml").write_text(_PIPELINE + f"description: {'[' * 3000}{']' * 3000}\n")
    (c.folder / "twice.yaml").write_text(_PIPELINE + "tick_s: 7\n")
    (c.folder / "big.yaml").write_text("x: " + "y" * 60_000_000)
    _changed(c, "tick.yaml", "tick_s: 1", "tick_s: .inf")
    _changed(c, "narrow.yaml", "width_s: 1", "width_s: 1.0e-12")
    _changed(c, "wide.yaml", "width_s: 1", "width_s: 1.0e+300")
    _changed(c, "device.yaml", "c.yaml", "/dev/zero")
    for name in ("bomb", "deep", "twice", "big", "tick", "narrow", "wide", "device"):
        done = c.run("sightline", "check", f"{name}.yaml")
        if done.is_defect or done.rc not in (3, 4):
            yield f"{name}.yaml: exit {done.rc}, {done.text[-120:]}"


@case("reliability/02_sql_reads_files")
def sql_reads_files(c: Case) -> Iterator[str]:
    """Refused when the pipeline is planned, exit 4; of a received run directory, exit 6."""
    _begin(c)
    expression = 'expressions: {x: {sql: "%s", unit: V}}, statistics: [count, max]'
    for sql in (
        "(select max(a) from read_csv('/etc/passwd'))",
        "max(v)*0 + extract(second from now())",
        "max(v) + (select max(s) from read_csv('t.csv'))",
        "length(lpad('a', 3000000000, 'b'))",
        "v",
    ):
        text = _PIPELINE.replace("statistics: [count, max]", expression % sql)
        (c.folder / "q.yaml").write_text(text)
        done = c.run("sightline", "run", "q.yaml", "--source", "t=t.csv", "--out", "q")
        if done.rc != 4 or "root:" in done.text:
            yield f"{sql}: exit {done.rc}, {done.text[-120:]}"
    text = _PIPELINE.replace("statistics: [count, max]", expression % "max(v)")
    (c.folder / "good.yaml").write_text(text)
    c.run("sightline", "run", "good.yaml", "--source", "t=t.csv", "--out", "good")
    manifest = c.folder / "good" / "run.json"
    sent = manifest.read_text().replace("max(v)", "max(v) + (select 1 from read_csv('t.csv'))")
    manifest.write_text(sent)
    done = c.run("sightline", "verify", "good")
    if done.rc != 6:
        yield f"verify of a run directory with a query: exit {done.rc}"


_HOSTILE_KEYS = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "[/bold] [red]x[/red] [/nope]",
    "\x1b]0;PWNED\x07\x1b[2J\x1b[31mred", '=HYPERLINK("http://evil")', "a\nb\rc",
    "\u202eevil\u202c", "]]>&lt;", "</title></svg><script>x</script>", "k" * 5000,
)  # fmt: skip
_NEVER_SHOWN = ("\x1b]", "\x1b[2J", "\x1b[31m", "\x07", "\r", "\u202e")
_NEVER_IN_A_PAGE = ("<script>alert", "<img src=x", "<i>g</i>", "<b>V</b>", "</svg><script>")


@case("reliability/08_injection")
def texts_of_others(c: Case) -> Iterator[str]:
    """Hostile keys, groups, units and lines reach no terminal, page or drawing as they are."""
    _begin(c)
    (c.folder / "c.yaml").write_text(
        _CONTRACT.replace("unit: V", 'unit: "<b>V</b>"').replace("key: [k]", "key: [k]\ngroup: g")
    )
    _changed(c, "p.yaml", "unit: V", 'unit: "<b>V</b>"')
    (c.folder / "p.yaml").write_text(
        (c.folder / "p.yaml").read_text() + "alerting: {hold_s: 0}\n"
        "description: \"<script>alert('d')</script>\"\n"
    )
    rows = [
        {"k": key, "g": "<i>g</i>", "time": f"2026-01-01T00:00:{s:02}Z", "v": 5 * (20 < s < 40)}
        for s in range(60)
        for key in _HOSTILE_KEYS
    ]
    lines = [json.dumps(row) for row in rows]
    lines += ['{"k":"\\u001b[31mX[/no]","time":"nonsense \\u001b]0;T\\u0007","v":1}',
              "\x1b]0;RAW\x07\x1b[2J not json [/zz]"]  # fmt: skip
    (c.folder / "t.jsonl").write_text("\n".join(lines) + "\n")
    done = c.run("sightline", "run", "p.yaml", "--source", "t=t.jsonl", "--out", "r")
    if done.rc:
        yield f"run: exit {done.rc}, {done.text[-200:]!r}"
        return
    said = json.loads(c.run("sightline", "decisions", "r", "--last", "999", "--json").out)
    ids = [d["decision_id"] for d in said["newest"] if d["transition"] == "raised"]
    if len(ids) != len(_HOSTILE_KEYS):
        yield f"{len(ids)} of {len(_HOSTILE_KEYS)} keys raised an alarm"
    commands = [
        ("report", "r", "-o", "r.html"), ("alerts", "r"), ("quarantine", "r"), ("decisions", "r"),
        ("verify", "r"), ("replay", "r"),
        *(("explain", "r", one, "--quick", "-o", f"{i}.svg") for i, one in enumerate(ids[:4])),
    ]  # fmt: skip
    for words in commands:
        done = c.run("sightline", *words)
        if done.rc or done.is_defect:
            yield f"{words[0]}: exit {done.rc}, {done.text[-200:]!r}"
        for sign in _NEVER_SHOWN:
            if sign in done.text:
                yield f"{words[0]} shows {sign!r}"
    for page in (*c.folder.glob("*.html"), *c.folder.glob("*.svg")):
        text = page.read_text()
        yield from (f"{page.name} holds {sign}" for sign in _NEVER_IN_A_PAGE if sign in text)
        if page.suffix == ".svg":
            try:
                xml.dom.minidom.parseString(text)  # noqa: S318
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it
                yield f"{page.name} is no XML: {error}"
