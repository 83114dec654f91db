"""Every field that a user can write has its meaning in the JSON Schema, and so in the editor."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from sightline.act import outlet_registry
from sightline.cli.field_examples import example_of, forms_in
from sightline.cli.pipeline_commands import contract_schema, pipeline_schema
from sightline.runtime import site
from sightline.runtime.kpis.form import KpiForm
from sightline.runtime.pipeline import Pipeline, detector_registry, stage_registry
from sightline.sense.contract import Contract
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.opening import source_registry


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "pipeline", pipeline_schema()
    for form in (Contract, FrameContract, KpiForm):
        yield form.__name__, form.model_json_schema()
    for form in vars(site).values():
        if isinstance(form, type) and issubclass(form, BaseModel):
            yield f"site {form.__name__}", form.model_json_schema()
    outlets, sources = outlet_registry(), source_registry()
    for name in outlets:
        yield f"{name}:", outlets.find(name, where="installed").options.model_json_schema()
    for name in sources:
        yield f"{name}:", sources.find(name, where="installed").Options.model_json_schema()


FIELDS = sorted(
    {
        (part, field, properties.get("description", ""))
        for name, schema in schemas()
        for part, one in {**schema.get("$defs", {}), name: schema}.items()
        for field, properties in one.get("properties", {}).items()
    }
)


def test_there_are_fields_to_look_at():
    assert len({(part, field) for part, field, _ in FIELDS}) > 300


@pytest.mark.parametrize(("part", "field", "meaning"), FIELDS)
def test_a_field_says_what_it_means(part, field, meaning):
    assert len(meaning.split()) >= 2, f"{part}.{field}: write a sentence under the field"


def forms() -> Iterator[type[BaseModel]]:
    registries = (
        (stage_registry(), "Settings"),
        (detector_registry(), "Settings"),
        (source_registry(), "Options"),
        (outlet_registry(), "options"),
    )
    whole = [Pipeline, Contract, FrameContract, site.SiteForm]
    whole += [getattr(r.find(n, where="installed"), part) for r, part in registries for n in r]
    for form in whole:
        yield from forms_in(form)


EXAMPLES_OF = sorted(
    {
        (form.__name__, name): field
        for form in forms()
        for name, field in form.model_fields.items()
    }.items(),
    key=lambda one: one[0],
)
BY_USE = {("Pipeline", "stages"), ("Pipeline", "detectors")}
"""Their values are told apart by ``use``: only a whole pipeline can be checked."""


@pytest.mark.parametrize(("place", "field"), EXAMPLES_OF, ids=[".".join(p) for p, _ in EXAMPLES_OF])
def test_a_field_has_an_example_that_it_takes(place, field):
    example = example_of(*place, field)
    assert example, f"{'.'.join(place)}: add an example to sightline/cli/field_examples.py"
    if place not in BY_USE:
        TypeAdapter(field.annotation).validate_python(yaml.safe_load(example))


def test_the_schema_for_editors_has_units_and_examples():
    field = contract_schema()["$defs"]["Silence"]["properties"]["timeout_s"]
    assert (field["x-unit"], field["examples"]) == ("s", [60])
