"""Outlets by their scheme: what is found, what is refused, and one of somebody else's."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from act.act_cases import SimulatedClock, apply_all, decision, sqlite_url
from sightline.act import AlertDelivery, Ledger, open_outlet, outlet_registry
from sightline.cli.outlets import parse_actuators, parse_alerts
from sightline.errors import PipelineError, UsageError

SOMEBODY_ELSES = '''
"""A folder with one file for each alert."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sightline.act import Outlet, OutletOptions


class FolderOptions(OutletOptions):
    suffix: str = Field(default=".json", max_length=10)
    """End of each file's name."""


class FolderOutlet(Outlet):
    schemes: ClassVar = ("folder",)
    options: ClassVar = FolderOptions

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self.suffix = folder, suffix

    @classmethod
    def open(cls, location, *, name, options, limits):
        return cls(Path(location.removeprefix("folder:")), options.suffix)

    def send(self, said, /, *, idempotency_key, deadline_s):
        file = self.folder / (idempotency_key.replace(":", "-") + self.suffix)
        file.write_bytes(said.canonical_bytes())
'''


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """The outlets that are installed, and one in a module beside the pipeline."""
    name = f"outlet_of_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SOMEBODY_ELSES)
    monkeypatch.syspath_prepend(tmp_path)
    return outlet_registry([importlib.import_module(name)])


def test_an_outlet_of_somebody_elses_delivers_alerts_of_a_run(tmp_path: Path, registry) -> None:
    clock = SimulatedClock()
    location = f"folder:{tmp_path}"
    outlets = parse_alerts([f"mine={location}"], registry=registry)
    with Ledger.open(sqlite_url(tmp_path)) as ledger:
        apply_all(ledger, [decision()], sinks=list(outlets))
    delivery = AlertDelivery(
        sqlite_url(tmp_path), outlets, wall_ns=clock.read_ns, sleep_s=clock.sleep_s
    )
    assert not delivery.drain(5.0)
    delivery.close()
    written = json.loads((tmp_path / f"{decision().decision_id}-0.json").read_bytes())
    assert written == decision().as_mapping()


def test_its_options_are_checked_by_name_and_range(tmp_path: Path, registry) -> None:
    for options in ({"sufix": ".txt"}, {"suffix": "x" * 11}):
        with pytest.raises(UsageError, match="it has: suffix"):
            open_outlet(
                f"folder:{tmp_path}", use="alerts", where="t", options=options, registry=registry
            )


def test_its_options_have_a_description_for_people(registry) -> None:
    schema = registry.find("folder", where="t").options.model_json_schema()
    assert schema["properties"]["suffix"]["description"] == "End of each file's name."


def test_an_outlet_is_refused_for_what_it_does_not_take(tmp_path: Path, registry) -> None:
    with pytest.raises(UsageError, match="takes commands"):
        parse_actuators(
            ["saw"], [f"saw=folder:{tmp_path}"], pipeline="p", registry=registry
        )  # fmt: skip


@pytest.mark.parametrize("scheme", ["jsonl", "http", "https", "mqtt", "mqtts"])
def test_what_sightline_brings_is_found_and_names_every_option(scheme: str) -> None:
    found = outlet_registry().find(scheme, where="test")
    assert scheme in found.schemes
    for name, described in found.options.model_json_schema().get("properties", {}).items():
        assert described.get("description"), name


def test_a_scheme_that_is_taken_is_refused(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "second_folder.py").write_text(SOMEBODY_ELSES.replace('"folder"', '"jsonl"'))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PipelineError, match="one outlet called 'jsonl'"):
        outlet_registry([importlib.import_module("second_folder")])


@pytest.mark.parametrize("item", ["alerts.jsonl", "pigeon:x", "u:hunter2@h", "x=y", ""])
def test_an_address_without_a_known_scheme_is_refused_unrepeated(item: str) -> None:
    with pytest.raises(UsageError, match=r"begins with .*http:") as caught:
        parse_alerts([item])
    assert "hunter2" not in str(caught.value)


def test_a_receiver_is_known_by_its_name_wherever_it_stands(tmp_path: Path) -> None:
    first, second = f"jsonl:{tmp_path / 'a=b.jsonl'}", f"desk=jsonl:{tmp_path / 'b.jsonl'}"
    assert set(parse_alerts([first, second])) == set(parse_alerts([second, first]))
    assert list(parse_alerts([first, second])) == [first, "desk"]


def test_one_receiver_given_twice_is_refused(tmp_path: Path) -> None:
    item = f"jsonl:{tmp_path / 'a.jsonl'}"
    with pytest.raises(UsageError, match="twice"):
        parse_alerts([item, item])


@pytest.mark.parametrize(
    "item", ["swa=https://u:hunter2@h/x", "https://u:hunter2@h/x", "saw=pigeon://u:hunter2@h/x"]
)
def test_a_way_to_a_machine_that_is_none_is_refused_unrepeated(item: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_actuators(["saw"], [item], pipeline="p")
    assert "hunter2" not in str(caught.value)
