"""A pipeline file and the files it names: read to a plan, or to all that is wrong with them."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from sightline.errors import ContractError, PipelineError, SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.runtime.pipeline import (
    Pipeline,
    load_pipeline,
)
from sightline.runtime.plan import Plan
from sightline.runtime.planner import Planner, make_plan
from sightline.runtime.site import in_short_form
from sightline.sense import Contract, load_contract
from sightline.sense.camera_files import read_camera_mapping
from sightline.sense.frames import load_frame_contract
from sightline.sense.yaml_form import line_of, read_yaml

_MOST_BESIDE, _HEAD_BYTES = 100, 4096
"""Files, and their beginnings, that are looked at for a contract that is misnamed."""


def load_plan(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Plan:
    """Read a pipeline file, its contracts and geometries, and check that they fit together.

    Raises:
        PipelineError, ContractError: naming the file and field at fault.
    """
    try:
        pipeline = written_out(load_pipeline(path), path.parent)
        contracts = {
            name: _contract_at(path, name, form.contract) for name, form in pipeline.tables.items()
        }
        return make_plan(pipeline, contracts, where=str(path), folder=path.parent, limits=limits)
    except (PipelineError, ContractError) as error:
        raise _with_line(error) from error


def written_out(pipeline: Pipeline, folder: Path) -> Pipeline:
    """The same with the contents of frame contracts and geometry files in their place."""
    sources: dict[str, Any] = dict(pipeline.sources)
    for name, camera in pipeline.cameras.items():
        contract, geometry = camera.frames, camera.geometry
        if isinstance(contract, str):
            contract = load_frame_contract(folder / contract).model_dump(mode="json")
        if isinstance(geometry, str):
            found = read_camera_mapping(folder / geometry)
            assert isinstance(found, dict)  # or reading it had failed
            geometry = found
        sources[name] = camera.model_copy(update={"frames": contract, "geometry": geometry})
    return pipeline.model_copy(update={"sources": sources})


def find_problems(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[SightlineError]:
    """Everything that can be found wrong with a pipeline file and the files that it names.

    One fault does not hide another, as far as they do not depend on each other. Where a file says
    what is meant, the place has its line.
    """
    found: list[SightlineError] = []
    contracts: dict[str, Contract] = {}
    pipeline: Pipeline | None = None
    try:
        pipeline = load_pipeline(path)
    except (PipelineError, ContractError) as error:
        found += [error, *error.beside]
    # Of a pipeline that cannot be read as one, the contracts that it names can be all the same.
    named = _named_contracts(path) if pipeline is None else {
        name: form.contract for name, form in pipeline.tables.items()
    }  # fmt: skip
    for name, contract in named.items():
        try:
            contracts[name] = _contract_at(path, name, contract)
        except (PipelineError, ContractError) as error:
            found += [error, *error.beside]
    if pipeline is not None:
        try:
            pipeline = written_out(pipeline, path.parent)
            planner = Planner(pipeline, contracts, str(path), path.parent, limits, collects=True)
            if len(contracts) == len(named):
                with planner.collected():
                    planner.plan()
            found += planner.problems
        except (PipelineError, ContractError) as error:
            found += [error, *error.beside]
    placed = {str(error): _with_line(error) for error in found}
    return sorted(placed.values(), key=_in_order)


def _head_of(path: Path) -> bytes:
    """How a plain file begins; nothing of a pipe or a folder."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _contract_at(path: Path, source: str, name: str) -> Contract:
    """The contract that a pipeline file names.

    Raises:
        PipelineError: there is no such file, with those beside it that may be meant.
        ContractError: the file is no contract.
    """
    file = path.parent / name
    if not file.exists():
        beside = [
            one.name
            for one in sorted(path.parent.glob("*.y*ml"))[:_MOST_BESIDE]
            if one != path and re.search(rb"^contract:", _head_of(one), re.M)
        ]
        near = difflib.get_close_matches(name, beside, n=1, cutoff=0.0)
        raise PipelineError(
            expected="a contract file, by its path from the pipeline file",
            got="an address" if "://" in name else f"{name}, where there is no file",
            where=f"{path}, sources.{source}.contract",
            action=f"write {near[0]!r}"
            if near
            else "write where it is, or make one: `sightline init FILE -o DIR`",
        )
    return load_contract(file)


def _in_order(error: SightlineError) -> tuple[str, int]:
    """File and line: as somebody goes through them who mends them."""
    name, _, place = error.where.partition(", ")
    line = re.match(r"line (\d+)", place)
    return name, int(line[1]) if line else 0


def _named_contracts(path: Path) -> dict[str, str]:
    """Contract files by source, as far as a pipeline file that has faults says which."""
    try:
        plain = read_yaml(path, kind_of_error=PipelineError)
    except PipelineError:
        return {}
    sources = plain.get("sources") if isinstance(plain, dict) else None
    named = {n: s.get("contract") for n, s in (sources or {}).items() if isinstance(s, dict)}
    return {name: contract for name, contract in named.items() if isinstance(contract, str)}


def _with_line(error: SightlineError) -> SightlineError:
    """The same, with its line where it is of a file; of a site at the place as it is written."""
    name, comma, dotted = error.where.partition(", ")
    path = Path(name)
    if not comma or dotted.startswith("line ") or path.suffix not in (".yaml", ".yml"):
        return error
    dotted = dotted.replace(", ", ".")
    try:
        text = path.read_text(encoding="utf-8")
        plain = read_yaml(text, where=name, kind_of_error=type(error))
    except (OSError, ValueError, SightlineError):
        return error
    if isinstance(plain, dict) and plain.get("use") == "site":
        dotted = in_short_form(dotted, plain)
        said = re.match(r"(zones\.\w+(\.\w+)?): ", error.expected)  # of a stage that has many
        dotted = said[1] if said else dotted
    line = line_of(text, dotted)
    place = dotted if line is None else f"line {line}, {dotted}"
    found = type(error)(
        expected=error.expected, got=error.got, where=f"{name}, {place}", action=error.action
    )
    found.beside = tuple(map(_with_line, error.beside))
    return found
