"""What a run said, as it is compared: read from its log, its ledger and what a receiver wrote."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.records import Message
from mcap.stream_reader import StreamReader

COMPARED = ("decisions", "commands", "messages", "ledger_agrees", "exit", "replay_exit")
_NAMES_OF_RUNS = frozenset(
    {"decision_id", "pipeline", "trace_id", "version", "command_id", "notice_id", "alert_id",
     "text"}
)  # fmt: skip
"""Fields that hang on the digest of the pipeline, and a message's line for people, whose words may
change: what it says is in the other fields."""
_DIGEST = re.compile(r"\b[0-9a-f]{32}\b|(?<=@)[0-9a-f]{16}\b")

Plain = dict[str, Any]

LISTS = ("decisions", "commands")


def read_run(run: Path) -> Plain:
    """``decisions`` and ``commands`` of the log, and whether the ledger holds the same decisions.

    Told apart by what they hold, not by the names of topics, so that a log that is arranged
    otherwise can still be read.
    """
    decisions, commands = [], []
    for folder in sorted(run.glob("log/*")):
        for payload in _payloads(folder):
            if payload[:1] != b"{":
                continue
            if b'"decision_id"' in payload and b'"transition"' in payload:
                plain = json.loads(payload)
                if "decision_id" in plain:
                    decisions.append(plain)
            elif b'"command_id"' in payload and b'"machine"' in payload:
                plain = json.loads(payload)
                if "command_id" in plain:
                    commands.append(plain)
    agrees = sorted(map(_text, decisions)) == sorted(map(_text, _in_ledger(run)))
    return {"decisions": decisions, "commands": commands, "ledger_agrees": agrees}


def _payloads(folder: Path) -> Iterator[bytes]:
    """Of every message of a partition's log; a torn end of the last segment is the end."""
    for path in sorted(folder.glob("*.mcap")):
        with path.open("rb") as file:
            try:
                for record in StreamReader(file).records:
                    if isinstance(record, Message):
                        yield record.data
            except (McapError, struct.error):
                continue


def _in_ledger(run: Path) -> list[Plain]:
    path = run / "ledger.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as database:
        return [json.loads(row[0]) for row in database.execute("SELECT canonical FROM decisions")]


def standing(decisions: Sequence[Plain], *, base_ns: int) -> list[Plain]:
    """What stands at the end of a live run, by event time, with times since ``base_ns``.

    How often a decision was revised on the way hangs on the wall clock there.
    """
    last: dict[str, Plain] = {}
    for one in decisions:
        before = last.get(one["decision_id"])
        if before is None or before["revision"] < one["revision"]:
            last[one["decision_id"]] = one
    found = []
    for one in last.values():
        if one["status"] != "retracted":
            times = {name: one[name] - base_ns for name in one if name.endswith("_ns")}
            found.append({**one, **times, "revision": 0, "status": "issued"})
    return sorted(found, key=lambda d: (d["event_ns"], d["subject"], d["kind"], _text(d)))


def read_messages(path: Path) -> list[Any]:
    """What a receiver was told: messages of a desk in order; single decisions sorted.

    Partitions hand over decisions independently, so between them there is no order.
    """
    if not path.exists():
        return []
    told = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [without_names(one) for one in told]
    return found if any("notice_id" in one for one in told) else sorted(found, key=_text)


def without_names(plain: Any) -> Any:
    """The same without what hangs on the digest of the pipeline."""
    match plain:
        case dict():
            return {n: without_names(v) for n, v in plain.items() if n not in _NAMES_OF_RUNS}
        case list():
            return [without_names(one) for one in plain]
        case str():
            return _DIGEST.sub("…", plain)
    return plain


def accounts_of(report: str) -> Plain:
    """The rows or frames of a run by where they ended, as its report says."""
    try:
        found = json.loads(report).get("accounts", {})
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {"equation": found}


def write_answer(path: Path, found: Plain) -> None:
    """JSON with one decision, command or message a line, so that a diff shows them."""
    parts = []
    for name, value in found.items():
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
        if isinstance(value, list) and value:
            text = "[\n " + ",\n ".join(_text(one) for one in value) + "\n]"
        parts.append(f"{json.dumps(name)}: {text}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _text(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)


def differences(a: Plain, b: Plain, names: Sequence[str] = COMPARED) -> list[str]:
    """The first difference of each kind between two answers, for people; empty if they agree."""
    found = []
    for name in names:
        left, right = a.get(name), b.get(name)
        if left == right:
            continue
        if not (isinstance(left, list) and isinstance(right, list)):
            found.append(f"{name}: {left} against {right}")
            continue
        places = range(max(len(left), len(right)))
        at = next(i for i in places if left[i : i + 1] != right[i : i + 1])
        order = (
            ", the same in another order"
            if sorted(map(_text, left)) == sorted(map(_text, right))
            else ""
        )
        found.append(f"{name}: {len(left)} against {len(right)}{order}; first at number {at}")
        found += [f"  {side} {_text(s[at]) if at < len(s) else 'nothing more'}"
                  for side, s in (("A", left), ("B", right))]  # fmt: skip
    return found


def compare(a: Path, b: Path) -> bool:
    """Print a line per scenario, and differences; whether there was none."""
    holds = True
    names = sorted({path.stem for folder in (a, b) for path in folder.glob("*.json")})
    for name in names:
        left, right = (_answer(folder / f"{name}.json") for folder in (a, b))
        if left is None or right is None:
            say(f"{name:16} only in {'B' if left is None else 'A'}")
            holds = False
            continue
        found = differences(left, right)
        holds = holds and not found
        counts = ", ".join(f"{len(left[n])} {n}" for n in (*LISTS, "messages") if left[n])
        say(f"{name:16} {'differs' if found else 'same ' + (counts or '0 decisions')}")
        for line in found:
            say(f"  {line}")
        if left["accounts"] != right["accounts"]:
            say(f"  note: accounts {_text(left['accounts'])} against {_text(right['accounts'])}")
    if not names:
        say("nothing to compare")
    return holds and bool(names)


def _answer(path: Path) -> Plain | None:
    if not path.exists():
        return None
    found: Plain = json.loads(path.read_text(encoding="utf-8"))
    return found


def say(text: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
