"""Numbers of settings: finite and within their ranges, or refused with the name of the field."""

import math
import types
import typing

import pydantic
import pytest

from sightline.runtime.pipeline import Pipeline, detector_registry, stage_registry

PIPELINE = {
    "pipeline": "p",
    "sources": {"t": {"contract": "t.yaml"}},
    "stages": {"w": {"use": "windows", "input": "t", "width_s": 10}},
}


def is_float(annotation):
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(map(is_float, typing.get_args(annotation)))
    return annotation is float or (
        typing.get_origin(annotation) is typing.Annotated
        and is_float(typing.get_args(annotation)[0])
    )


def float_settings():
    for registry in (stage_registry(), detector_registry()):
        for use in registry:
            form = registry.find(use, where=use).Settings
            for name, field in form.model_fields.items():
                if is_float(field.annotation):
                    yield pytest.param(form, use, name, id=f"{use}.{name}")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(("form", "use", "name"), list(float_settings()))
def test_a_number_of_a_stage_or_detector_is_finite(form, use, name, value):
    with pytest.raises(pydantic.ValidationError) as caught:
        form.model_validate({"use": use, name: value})
    assert (name,) in [error["loc"] for error in caught.value.errors()]


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e300, 1e9, 1e-12, 0, -1])
@pytest.mark.parametrize("name", ["width_s", "slide_s"])
def test_the_width_of_a_window_is_within_its_range(name, value):
    window = {**PIPELINE["stages"]["w"], name: value}
    with pytest.raises(pydantic.ValidationError, match=name):
        Pipeline.model_validate({**PIPELINE, "stages": {"w": window}})


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e300, 1e-12, 0])
def test_the_tick_is_within_its_range(value):
    with pytest.raises(pydantic.ValidationError, match="tick_s"):
        Pipeline.model_validate({**PIPELINE, "tick_s": value})


@pytest.mark.parametrize("name", ["idle_s", "latency_budget_s", "clear_s"])
def test_a_duration_is_at_most_three_years(name):
    with pytest.raises(pydantic.ValidationError, match=f"`{name}` of at most"):
        Pipeline.model_validate({**PIPELINE, name: 1e300})
