"""Every field that a user can write has its meaning in the JSON Schema, and so in the editor."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from sightline.act import outlet_registry
from sightline.cli.pipeline_commands import pipeline_schema
from sightline.runtime import site
from sightline.runtime.kpis.form import KpiForm
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
