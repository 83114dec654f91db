from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sightline.errors import ContractError
from sightline.sense import Contract, load_contract
from sightline.sense.contract import contract_json_schema, parse_contract

FULL = """
contract: telemetry
version: "2"
description: All the parts of a contract.
key: [satellite]
group: region
event_time:
  column: time
  format: iso8601
  time_zone: required
  earliest: 1990-01-01T00:00:00Z
receipt_time: {column: received}
sequence: {column: sequence}
duplicate_key: [satellite, time]
fields:
  snr_db: {type: number, unit: dB, range: [-10, null], nan: refuse,
           plausibility: {stuck_for_s: 300, max_rate_per_s: 5, max_nan_share: 0.5}}
  mode: {type: text, allowed: [nominal, safe], required: false}
timing: {out_of_order_s: 5, revision_allowance_s: 300, max_backlog_s: 86400, clock_skew_s: 0.5,
         watermark_by: [region]}
expected_rate_hz: 1.0
silence:
  timeout_s: 60
  contacts: [{key: sat-001, start: "2024-01-01T01:00:00+01:00", end: "2024-01-01T00:10:00Z"}]
"""


def minimal(**changes: Any) -> dict[str, Any]:
    return {
        "contract": "demo",
        "key": ["satellite"],
        "event_time": {"column": "time"},
        "fields": {"snr_db": {"type": "number", "unit": "dB"}},
    } | changes


def error_of(plain: object) -> ContractError:
    with pytest.raises(ContractError) as caught:
        parse_contract(plain, where="c.yaml")
    return caught.value


def load(folder: Path, text: str) -> Contract:
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_contract(path)


def test_a_full_contract_gives_its_bounds_in_nanoseconds(tmp_path: Path) -> None:
    contract = load(tmp_path, FULL)
    assert contract.out_of_order_ns == 5 * 10**9
    assert contract.revision_allowance_ns == 300 * 10**9
    assert contract.max_backlog_ns == 86_400 * 10**9
    assert contract.clock_skew_ns == 5 * 10**8
    assert contract.event_time.earliest_ns == 631_152_000 * 10**9


def test_contacts_are_converted_to_utc(tmp_path: Path) -> None:
    (contact,) = load(tmp_path, FULL).contacts
    assert (contact.start, contact.key) == ("2024-01-01T00:00:00Z", "sat-001")
    assert contact.end_ns - contact.start_ns == 600 * 10**9


def test_the_columns_are_named_once_each(tmp_path: Path) -> None:
    columns = load(tmp_path, FULL).columns
    assert columns == ("satellite", "region", "time", "received", "sequence", "snr_db", "mode")


def test_duplicates_share_key_and_event_time_by_default() -> None:
    contract = parse_contract(minimal(), where="")
    assert contract.duplicate_columns == ("satellite", "time")
    assert contract.watermark_columns == ("satellite",)


def test_duplicates_of_assumed_times_share_the_key() -> None:
    assumed = {"assumed": {"period_s": 1, "start": "2020-01-01T00:00:00Z"}}
    contract = parse_contract(minimal(event_time=assumed), where="")
    assert contract.duplicate_columns == ("satellite",)


def test_the_digest_does_not_depend_on_the_description_or_the_order_of_names() -> None:
    one = parse_contract(minimal(description="a"), where="")
    other = parse_contract(dict(reversed(minimal(description="b").items())), where="")
    assert one.digest == other.digest


def test_the_digest_changes_with_a_range() -> None:
    fields = {"snr_db": {"type": "number", "unit": "dB", "range": [0, 1]}}
    one, other = (
        parse_contract(minimal(), where=""),
        parse_contract(minimal(fields=fields), where=""),
    )
    assert one.digest != other.digest


def test_a_contract_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_contract(minimal(), where="").version = "9"  # type: ignore[misc]


def test_an_error_names_file_field_expectation_finding_and_action() -> None:
    fields = {"snr_db": {"type": "number", "unit": 1}}
    error = error_of(minimal(fields=fields))
    assert error.where == "c.yaml, fields.snr_db.unit"
    assert (error.got, error.action) == ("1", 'put it in quotes: `unit: "1"`')
    assert error.expected == "text"


def test_an_error_counts_the_other_problems() -> None:
    assert "2 problems" in str(error_of(minimal(key=[], version="")))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"event_time": {}}, "exactly one of `column` and `assumed`"),
        ({"event_time": {"column": "t", "earliest": "1969-01-01T00:00:00Z"}}, "1970"),
        ({"event_time": {"column": "t", "latest": "2300-01-01T00:00:00Z"}}, "2262"),
        ({"event_time": {"column": "t", "earliest": "2020-01-01T00:00:00"}}, "add Z for UTC"),
        ({"key": ["a", "a"]}, "without repeats"),
        ({"key": ["_row"]}, "not one that Sightline adds"),
        ({"duplicate_key": ["satellite"]}, "`duplicate_key` with time: duplicates must share"),
        ({"duplicate_key": ["satellite", "time", "colour"]}, "not colour"),
        ({"timing": {"watermark_by": ["colour"]}}, "key columns and the group"),
        ({"timing": {"out_of_order_s": 9, "max_backlog_s": 1}}, "`timing.out_of_order_s`"),
        ({"timing": {"out_of_order_s": -1}}, "a number of at least 0"),
        ({"timing": {"clock_skew_s": float("nan")}}, "finite"),
        ({"fields": {"_x": {"type": "text"}}}, "text of the form"),
        ({"fields": {"x": {"type": "number"}}}, "`unit`"),
        ({"fields": {"x": {"type": "text", "unit": "m"}}}, "no `unit` on a text"),
        ({"fields": {"x": {"type": "boolean", "range": [0, 1]}}}, "no `range` on a boolean"),
        ({"fields": {"x": {"type": "number", "unit": "m", "range": [2, 1]}}}, "low end"),
        ({"fields": {"x": {"type": "number", "unit": "m", "allowed": ["a"]}}}, "`allowed` only"),
        ({"fields": {"x": {"type": "text"}, "y": {"type": "text", "column": "x"}}}, "different"),
        ({"archive": {"arrays": ["a"], "columns": {"snr_db": 0}}}, "the column satellite"),
        (
            {
                "silence": {
                    "timeout_s": 1,
                    "contacts": [
                        {"key": "*", "start": "2020-01-02T00:00:00Z", "end": "2020-01-01T00:00:00Z"}
                    ],
                }
            },
            "`start` before `end`",
        ),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(changes: dict[str, Any], told: str) -> None:
    assert told in error_of(minimal(**changes)).expected


def test_a_file_that_is_not_yaml_is_a_contract_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="readable YAML"):
        load(tmp_path, "key: [")


def test_yaml_cannot_create_objects(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="readable YAML"):
        load(tmp_path, "key: !!python/object/apply:os.getcwd []")


def test_an_empty_file_is_a_contract_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="the document"):
        load(tmp_path, "")


def test_the_json_schema_lists_the_fields_of_a_contract() -> None:
    schema = contract_json_schema()
    assert set(schema["required"]) == {"contract", "key", "event_time", "fields"}
    assert schema["additionalProperties"] is False
