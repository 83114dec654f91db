"""``sightline check|stages|schema``: what can be known before a record is read."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.text import Text

from sightline.act import outlet_registry
from sightline.cli.console import Json, Terminal, print_document, print_json
from sightline.cli.field_examples import add_examples, default_of, example_of, unit_of
from sightline.errors import PipelineError, UsageError
from sightline.registry import import_plugins
from sightline.runtime.item_stage import ItemStage
from sightline.runtime.pipeline import (
    Pipeline,
    detector_registry,
    load_pipeline,
    stage_registry,
)
from sightline.runtime.pipeline_file import find_problems, load_plan
from sightline.runtime.stage import AnyStage, Stage
from sightline.sense.contract import Contract, contract_json_schema
from sightline.sense.opening import source_registry


def check(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline file (YAML).")],
    is_expanded: Annotated[
        bool,
        typer.Option(
            "--expanded", help="Print the stages that `use: site` comes to, and check nothing."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Find all that is wrong with a pipeline file, before a record is read."""
    if is_expanded:
        plain = load_pipeline(pipeline).model_dump(mode="json", exclude_defaults=True)
        print_document(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
        return
    problems = find_problems(pipeline)
    if as_json:
        named = ("where", "expected", "got", "action")
        listed = [{name: getattr(problem, name) for name in named} for problem in problems]
        print_json({"pipeline": str(pipeline), "problems": listed})
        raise typer.Exit(PipelineError.exit_code if problems else 0)
    console = Terminal()
    if problems:
        for problem in problems:
            console.print(Text(problem.where, style="bold"))
            console.print(f"  expected  {problem.expected}", markup=False)
            console.print(f"  got       {problem.got}", markup=False)
            console.print(f"  do        {problem.action}", markup=False)
        console.print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}")
        raise typer.Exit(PipelineError.exit_code)
    plan = load_plan(pipeline)
    console.print(f"{pipeline}: nothing wrong found")
    console.print(f"pipeline  {plan.pipeline.pipeline} {plan.digest}")
    for name, contract in plan.contracts.items():
        console.print(f"rows      {name}: {contract.contract}@{contract.digest[:8]}")
    for name, camera in plan.cameras.items():
        contract_px = f"{camera.contract.width_px} x {camera.contract.height_px} px"
        where = "pixels" if camera.geometry is None else "metres"
        console.print(f"camera    {name}: {contract_px} at {camera.contract.rate_hz:g}/s, {where}")
    for chain in plan.chains:
        steps = " → ".join([chain.name, *(step.name for step in chain.steps)])
        console.print(f"windows   {chain.source} → {steps}", markup=False)
    for item in plan.items:
        inputs = ", ".join(item.stage.settings.inputs)
        console.print(f"items     {inputs} → {item.name}", markup=False)


def stages(
    use: Annotated[
        str | None, typer.Argument(metavar="[USE]", help="Name of one; without it, a list of all.")
    ] = None,
    plugins: Annotated[
        list[str] | None, typer.Option("--plugin", help="Python module with classes of your own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the stages, detectors, sources and outlets that are installed; of one, its settings."""
    found = list(_installed(tuple(plugins or ())))
    if use is not None:
        found = [one for one in found if one["use"] == use]
        if not found:
            raise UsageError(
                expected="the name of something that is installed",
                got=use,
                where="sightline stages",
                action="list them all with `sightline stages`",
            )
    if as_json:
        print_json(found)
        return
    console = Terminal()
    for kind in ("stage", "detector", "source", "outlet"):
        ones = [one for one in found if one["kind"] == kind]
        if ones and use is None:
            console.print(f"{kind}s", style="bold")
        for one in ones:
            ports = f"{one['reads']} → {one['writes']}" if one["reads"] else one["writes"]
            console.print(f"  {one['use']:18} {ports:28} {one['does']}", markup=False)
            if use is not None:
                _print_details(console, one)


def _print_details(console: Terminal, one: dict[str, Any]) -> None:
    for setting in one["settings"]:
        default = "required" if setting["is_required"] else f"default {setting['default']}"
        unit = f", {setting['unit']}" if setting["unit"] else ""
        head = f"    {setting['name']:22} {setting['type']}{unit}; {default}"
        console.print(head, markup=False)
        if setting["meaning"]:
            console.print(f"        {setting['meaning']}", markup=False)
        if setting["example"] and setting["example"] != str(setting["default"]):
            console.print(f"        for example {setting['name']}: {setting['example']}")
    for name, unit in one["measures"].items():
        console.print(f"    measures {name} ({unit})", markup=False)


def _installed(plugins: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    modules = import_plugins(plugins, where="--plugin")
    registry = stage_registry(modules)
    for name in registry:
        found = registry.find(name, where="installed stages")
        reads, writes = found.ports()
        yield {
            **_described("stage", name, found, found.Settings),
            "reads": reads,
            "writes": writes,
            "version": found.version,
            "family": _family(found),
            "is_guarded": bool(getattr(found, "looks", False))
            or "guarded" in found.Settings.model_fields,
            "measures": dict(getattr(found, "measures", {})),
        }
    detectors = detector_registry(modules)
    for name in detectors:
        kind = detectors.find(name, where="installed detectors")
        yield {
            **_described("detector", name, kind, kind.Settings),
            "reads": "frames",
            "writes": "detections",
        }
    sources = source_registry(modules)
    for name in sources:
        source = sources.find(name, where="installed sources")
        yield {**_described("source", name, source, source.Options), "writes": source.gives}
    outlets = outlet_registry(modules)
    for name in outlets:
        outlet = outlets.find(name, where="installed outlets")
        takes = (
            outlet.takes if isinstance(outlet.takes, str) else " and ".join(sorted(outlet.takes))
        )
        yield {
            **_described("outlet", name, outlet, outlet.options),
            "reads": takes,
            "writes": f"{name}:…",
        }


def _family(found: type[AnyStage]) -> str:
    if issubclass(found, ItemStage):
        return "item"
    return "series" if issubclass(found, Stage) else "other"


def _described(kind: str, name: str, found: type, settings: type[BaseModel]) -> dict[str, Any]:
    doc = inspect.getdoc(found) or ""
    return {
        "kind": kind,
        "use": name,
        "does": " ".join(doc.split("\n\n")[0].split()),
        "module": found.__module__,
        "reads": "",
        "writes": "",
        "measures": {},
        "settings": [
            setting_of(settings.__name__, n, f)
            for n, f in settings.model_fields.items()
            if n != "use"
        ],
    }


def setting_of(form: str, name: str, field: FieldInfo) -> dict[str, Any]:
    """What there is to know of a field: type, unit, default, meaning, example."""
    default = default_of(field)
    return {
        "name": name,
        "type": _type_name(field.annotation),
        "unit": unit_of(name),
        "is_required": field.is_required(),
        "default": default
        if isinstance(default, str | int | float | bool | None)
        else str(default),
        "meaning": " ".join((field.description or "").split()),
        "example": example_of(form, name, field),
    }


def _type_name(annotation: Any) -> str:
    """A type in words: ``number or null``, ``list of text``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_name(a) for a in arguments))
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    choices = [str(one) for one in arguments] if origin is typing.Literal else []
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        choices = [str(one.value) for one in annotation]
    if choices:
        return " or ".join(choices)
    if origin in (tuple, list):
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type_name(arguments[1])}"
    words = {float: "number", int: "whole number", str: "text", bool: "true or false",
             type(None): "null"}  # fmt: skip
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def contract_schema() -> dict[str, Any]:
    """JSON Schema of a contract, with unit and example of each field."""
    whole = contract_json_schema()
    add_examples(whole, Contract)
    return whole


def pipeline_schema(plugins: tuple[str, ...] = ()) -> dict[str, Any]:
    """JSON Schema of a pipeline, with the settings of every stage and detector by ``use``."""
    modules = import_plugins(plugins, where="--plugin")
    whole = Pipeline.model_json_schema()
    add_examples(whole, Pipeline)
    definitions = whole.setdefault("$defs", {})
    for part, registry in (
        ("stages", stage_registry(modules)),
        ("detectors", detector_registry(modules)),
    ):
        options = []
        for name in registry:
            found = registry.find(name, where="installed")
            one = found.Settings.model_json_schema(ref_template="#/$defs/{model}")
            add_examples(one, found.Settings)
            definitions.update(one.pop("$defs", {}))
            one["properties"]["use"] = {"const": name, "description": one.get("description", "")}
            place = f"{part}.{name}"
            definitions[place] = one
            options.append({"$ref": f"#/$defs/{place}"})
        whole["properties"][part]["additionalProperties"] = {"oneOf": options}
        whole["properties"][part].pop("patternProperties", None)
    return whole
