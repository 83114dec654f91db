"""``sightline lab evaluate nasa|nab|skab|opssat``: published benchmarks, raw predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.cli.console import Terminal, print_json, working
from sightline.evidence.anomaly_benchmarks import (
    evaluate_nab,
    evaluate_nasa,
    evaluate_opssat,
    evaluate_skab,
    write_nab,
    write_nasa,
    write_opssat,
    write_skab,
)

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the benchmark.")]
_File = Annotated[
    Path | None, typer.Option("--predictions", metavar="OUT.csv", help="Write what was found.")
]
_OutFolder = Annotated[
    Path | None, typer.Option("--predictions", metavar="OUT", help="Folder for what was found.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def register(evaluate: typer.Typer) -> None:
    """Add the benchmarks to the commands of ``sightline lab evaluate``."""
    for name, command in (
        ("nasa", _nasa),
        ("nab", _nab),
        ("skab", _skab),
        ("opssat", _opssat),
    ):
        evaluate.command(name)(command)


def _nasa(
    folder: _Folder,
    predictions: _File = None,
    as_json: _AsJson = False,
) -> None:
    """NASA SMAP or MSL: events of every channel, pooled F1 where labels are there.

    Predictions: channel,start,end; rows of ``test``, both ends included.
    """
    with working("nasa", is_quiet=as_json):
        result = evaluate_nasa(folder)
    if predictions is not None:
        write_nasa(predictions, result.events)
    _show(result.as_mapping(), as_json=as_json)


def _nab(
    folder: _Folder,
    predictions: _OutFolder = None,
    as_json: _AsJson = False,
) -> None:
    """Numenta's benchmark: one threshold for all files, by category.

    Predictions: CATEGORY/sightline_FILE with timestamp,value,anomaly_score,label.
    """
    with working("nab", is_quiet=as_json):
        result = evaluate_nab(folder)
    if predictions is not None:
        write_nab(predictions, result.series)
    _show(result.as_mapping(), as_json=as_json)


def _skab(
    folder: _Folder,
    predictions: _OutFolder = None,
    as_json: _AsJson = False,
) -> None:
    """Skoltech's benchmark: the first 400 rows of a run train, the rest is scored.

    Predictions: a CSV per run, its rows plus score,alarm.
    """
    with working("skab", is_quiet=as_json):
        result = evaluate_skab(folder)
    if predictions is not None:
        write_skab(predictions, result.runs)
    _show(result.as_mapping(), as_json=as_json)


def _opssat(
    folder: _Folder,
    predictions: _File = None,
    supervised: Annotated[
        bool,
        typer.Option("--supervised", help="Write the predictions that were made with labels."),
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """ESA's OPS-SAT-AD: segments without labels, and with them by cross-validation.

    Predictions: segment,score,alarm.
    """
    with working("opssat", is_quiet=as_json):
        result = evaluate_opssat(folder)
    if predictions is not None:
        write_opssat(predictions, result, is_supervised=supervised)
    _show(result.as_mapping(), as_json=as_json)


def _show(plain: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(plain)
        return
    console = Terminal()
    for name, value in plain.items():
        if name == "by_channel":
            continue  # long; it is in the JSON
        if isinstance(value, dict):
            console.print(f"{name}:", markup=False)
            for key, inner in value.items():
                text = (
                    "  ".join(f"{k} {v}" for k, v in inner.items())
                    if isinstance(inner, dict)
                    else str(inner)
                )
                console.print(f"  {key:<36} {text}", markup=False)
        else:
            console.print(f"{name:<38} {value}", markup=False)
