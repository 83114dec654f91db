"""A source and an outlet of one's own: lines of a lab notebook in, lines of another out.

plugins: [notebook_lines]
sources: {lab: {contract: lab.contract.yaml}}
…
sightline run lab.yaml --source lab=notebook://FILE --alerts desk=notebook:ALERTS --out RUN
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

import sightline as sl


class NotebookOptions(sl.SourceOptions):
    """How lines are read."""

    separator: str = "|"
    """What stands between time, instrument and value."""


class Notebook(sl.Source):
    """Lines ``time | instrument | value``; its position is the number of lines read."""

    schemes = ("notebook",)
    gives = "rows"
    Options = NotebookOptions
    durable = True

    def __init__(self, path: Path, name: str, separator: str) -> None:
        self.path, self.name, self.separator = path, name, separator

    @classmethod
    def open(cls, location, *, name, contract, options, surroundings):
        return cls(Path(location.removeprefix("notebook://")), name, options.separator)

    def streams(self):
        return [sl.Stream(origin=self.path.name, chunks=self._chunks)]

    def _chunks(self):
        lines = self.path.read_text(encoding="utf-8").splitlines()
        parts = [[part.strip() for part in line.split(self.separator)] for line in lines]
        columns = ("time", "instrument", "value")
        frame = pl.DataFrame(parts, schema=list(columns), orient="row")
        yield sl.chunk_of(frame, origin=self.path.name, first_row=0)


class Desk(sl.Outlet):
    """Writes each alert as a line: when, whom it is about, what, since which value."""

    schemes = ("notebook",)
    takes = ("alerts",)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = set(path.read_text().splitlines()) if path.exists() else set()

    @classmethod
    def open(cls, location, *, name, options, limits):
        return cls(Path(location.removeprefix("notebook:")))

    def send(self, said, /, *, idempotency_key, deadline_s):
        plain = json.loads(said.canonical_bytes())
        line = f"{idempotency_key} | {plain['subject']} | {plain['kind']} {plain['transition']}"
        if line not in self.written:  # sent again after a crash: once is enough
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            self.written.add(line)
