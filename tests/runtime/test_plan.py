"""Every mistake a pipeline description can hold is found before the first record is read."""

import copy

import pytest

from sightline.errors import PipelineError
from sightline.runtime import load_plan, make_plan
from sightline.runtime.pipeline import parse_pipeline
from sightline.sense.contract import parse_contract

CONTRACT = {
    "contract": "c",
    "key": ["k"],
    "group": "g",
    "event_time": {"column": "t"},
    "fields": {"v": {"type": "number", "unit": "V"}},
}
GOOD = {
    "pipeline": "p",
    "latency_budget_s": 60,
    "sources": {"s": {"contract": "c"}},
    "stages": {
        "w": {"use": "windows", "input": "s", "width_s": 60, "statistics": ["mean"]},
        "odd": {"use": "robust_deviation", "input": "w", "measures": ["v.mean"]},
        "seen": {"use": "presence", "input": "s", "width_s": 10},
        "gone": {"use": "silence", "input": "seen", "timeout_s": 30, "code": "GONE"},
        "area": {
            "use": "silence",
            "input": "seen",
            "scope": "group",
            "timeout_s": 30,
            "code": "AREA",
        },
        "high": {
            "use": "alarm",
            "input": "w",
            "measure": "v.mean",
            "unit": "V",
            "raise_above": 2,
            "clear_below": 1,
            "code": "HIGH",
        },
    },
}


def plan(changes, contract=CONTRACT):
    plain = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *parents, last = path.split(".")
        at = plain
        for parent in parents:
            at = at[parent]
        at[last] = value
    return make_plan(
        parse_pipeline(plain, where="p.yaml"),
        {"s": parse_contract(contract, where="c.yaml")},
        where="p.yaml",
    )


def test_the_description_without_mistakes_is_a_plan():
    assert [c.name for c in plan({}).chains] == ["w", "seen"]


MISTAKES = {
    "an unknown input": ({"stages.high.input": "ww"}, "write 'w'"),
    "an input of another type": ({"stages.high.input": "seen"}, "input of type windows"),
    "a source where windows are wanted": ({"stages.odd.input": "s"}, "input of type windows"),
    "an unknown measure": ({"stages.high.measure": "v.meen"}, "write 'v.mean'"),
    "another unit": ({"stages.high.unit": "mV"}, "unit: V"),
    "no threshold": ({"stages.high.raise_above": None}, "raise_above or raise_below"),
    "a clear threshold on the wrong side": ({"stages.high.clear_below": 3}, "quiet side"),
    "m above n": ({"stages.high.m": 3}, "m at most n"),
    "a guarded stage without fallback": (
        {"stages.odd.guarded": {"budget_s": 1}},
        "guarded.fallback",
    ),
    "a fallback that is the stage itself": (
        {"stages.odd.guarded": {"budget_s": 1, "fallback": "robust_deviation"}},
        "another scorer",
    ),
    "a stage budget over the pipeline's": (
        {"stages.odd.guarded": {"budget_s": 61, "fallback": "level_deviation"}},
        "within latency_budget_s",
    ),
    "a scope the stage cannot have": ({"stages.w.scope": "group"}, "scope: key"),
    "a circle": ({"stages.odd.input": "odd"}, "stages without a circle"),
    "a time-out shorter than the presence": ({"stages.gone.timeout_s": 5}, "timeout_s of at least"),
    "an unknown statistic": ({"stages.w.statistics": ["p999"]}, "statistics: known ones"),
    "an unknown field": ({"stages.w.fields": ["u"]}, "numeric fields of the contract"),
    "an expression over unknown fields": (
        {"stages.w.expressions": {"x": {"sql": "max(u)", "unit": "V"}}},
        "numeric fields",
    ),
    "an expression that is none": (
        {"stages.w.expressions": {"x": {"sql": "max(", "unit": "V"}}},
        "a SQL expression",
    ),
    "an expression that reads a file": (
        {"stages.w.expressions": {"x": {"sql": "(select 1 from read_csv(a))", "unit": "V"}}},
        "no query",
    ),
    "an expression with a number per row": (
        {"stages.w.expressions": {"x": {"sql": "v", "unit": "V"}}},
        "one number per window",
    ),
    "a slide that does not divide the width": ({"stages.w.slide_s": 7}, "multiple of slide_s"),
    "inhibition without a hold": ({"stages.gone.inhibited_by": ["area"]}, "inhibit_hold_s"),
    "a hold over the latency budget": (
        {"stages.gone.inhibited_by": ["area"], "stages.gone.inhibit_hold_s": 90},
        "within latency_budget_s",
    ),
    "inhibition by what decides nothing": (
        {"stages.gone.inhibited_by": ["w"], "stages.gone.inhibit_hold_s": 9},
        "stages that decide",
    ),
    "packet loss without a counter": (
        {"stages.lost": {"use": "packet_loss", "input": "w"}},
        "a sequence column",
    ),
    "a name used twice": (
        {"stages.s": {"use": "presence", "input": "s", "width_s": 10}},
        "names used once",
    ),
    "an unknown kind of stage": ({"stages.w.use": "window"}, "windows"),
    "an unknown key": ({"stages.w.with_s": 60}, "write 'width_s'"),
    "too many partitions": ({"partitions": 5000}, "at most 1024"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_what_was_expected(mistake):
    changes, says = MISTAKES[mistake]
    with pytest.raises(PipelineError) as caught:
        plan(changes)
    assert says in str(caught.value)
    assert "p.yaml" in caught.value.where


@pytest.mark.parametrize("plain", [None, [], "tank", 5])
def test_a_file_that_holds_no_pipeline_is_refused(plain):
    with pytest.raises(PipelineError, match="a mapping"):
        parse_pipeline(plain, where="p.yaml")


def test_a_contract_at_an_address_is_refused_without_its_password(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(
        "pipeline: p\nsources: {a: {contract: 'https://u:hunter2@h/c.yaml'}}\n"
        "stages: {w: {use: windows, input: a, width_s: 60, statistics: [count]}}\n"
    )
    with pytest.raises(PipelineError, match="got an address") as caught:
        load_plan(file)
    assert "hunter2" not in str(caught.value)


def test_a_watermark_may_not_belong_to_what_a_key_can_leave():
    contract = {**CONTRACT, "timing": {"watermark_by": ["g"]}}
    with pytest.raises(PipelineError, match="watermark_by among the key columns"):
        plan({}, contract)


def test_partitions_and_recording_do_not_change_the_digest():
    assert plan({"partitions": 4, "sources.s.record": "reference"}).digest == plan({}).digest


def test_a_threshold_changes_the_digest():
    assert plan({"stages.high.raise_above": 2.5}).digest != plan({}).digest
