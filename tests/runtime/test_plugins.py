"""Stages of one's own beside those that Sightline brings."""

import pytest

from sightline.errors import PipelineError
from sightline.runtime.pipeline import load_pipeline, parse_pipeline

PIPELINE = """
pipeline: p
plugins: [{module}]
sources: {{t: {{contract: t.yaml}}}}
stages:
  w: {{use: windows, input: t, width_s: 60}}
"""
STAGE = """
from sightline.runtime.stage import Stage

class Own(Stage):
    use = "{use}"
"""


def write(folder, *, module, use):
    (folder / f"{module}.py").write_text(STAGE.format(use=use))
    path = folder / "p.yaml"
    path.write_text(PIPELINE.format(module=module))
    return path


def test_a_stage_of_a_plugin_beside_the_pipeline_file_is_found(tmp_path):
    path = write(tmp_path, module="own_stage_that_is_found", use="found")
    path.write_text(path.read_text() + "  own: {use: found, input: w}\n")
    assert load_pipeline(path).stages["own"].use == "found"


def test_two_stages_of_one_name_are_refused_and_both_are_named(tmp_path):
    path = write(tmp_path, module="own_stage_called_windows", use="windows")
    with pytest.raises(PipelineError, match="one stage called 'windows'") as caught:
        load_pipeline(path)
    assert "sightline.runtime.stages.windows:WindowsStage" in caught.value.got
    assert "own_stage_called_windows:Own" in caught.value.got


def test_a_key_that_is_given_twice_in_a_pipeline_file_is_refused_with_its_lines(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(
        "pipeline: p\n"
        "sources: {t: {contract: t.yaml}}\n"
        "stages:\n"
        "  w: {use: windows, input: t, width_s: 60}\n"
        "  w: {use: presence, input: t, width_s: 10}\n"
    )
    with pytest.raises(PipelineError, match="each key once") as caught:
        load_pipeline(path)
    assert "line 5" in caught.value.where
    assert "first in line 4" in caught.value.got


def test_a_stage_that_is_not_installed_is_named_with_its_place():
    plain = {"pipeline": "p", "sources": {}, "stages": {"x": {"use": "nowhere"}}}
    with pytest.raises(PipelineError, match=r"stages\.x\.use"):
        parse_pipeline(plain, where="p.yaml")
