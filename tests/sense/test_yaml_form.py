"""YAML of people: a key given twice, bounds, and the place in every error."""

import contextlib
import datetime as dt
import json
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sightline.errors import ContractError, PipelineError
from sightline.limits import Limits
from sightline.sense.yaml_form import read_json, read_yaml

NAMES = st.text("abcxyz_ 019é", min_size=1, max_size=6).filter(lambda name: name.strip() == name)
SCALARS = st.none() | st.booleans() | st.integers() | NAMES
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_what_was_written_is_read(value):
    assert read_yaml(yaml.safe_dump(value, allow_unicode=True)) == value


def in_flow_style(value):
    """The value as one line of YAML, its keys in quotes."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6, default_style='"').strip()


@given(
    VALUES,
    NAMES,
    st.lists(st.sampled_from(["key", "item"]), max_size=4),
    st.integers(0, 4),
)
def test_a_key_given_twice_is_refused_at_any_depth_with_both_lines(value, name, path, lines):
    twice = f'{{"{name}": {in_flow_style(value)},' + "\n" * lines + f' "{name}": 2}}'
    for step in path:
        twice = f"[0, {twice}]" if step == "item" else f'{{"outer": {twice}}}'
    with pytest.raises(ContractError) as caught:
        read_yaml(twice, where="site.yaml")
    assert caught.value.where.startswith(f"site.yaml, line {lines + 1}, column ")
    assert caught.value.got == f"{name!r} again, first in line 1"


def test_a_key_in_a_complex_key_is_refused_too():
    with pytest.raises(ContractError, match="'a' again"):
        read_yaml("? {a: 1, a: 2}\n: 3")


@pytest.mark.parametrize("text", ["1: a\n0x1: b", "true: a\nyes: b", "~: a\nnull: b"])
def test_two_spellings_of_one_key_are_one_key(text):
    with pytest.raises(ContractError, match="line 2, column 1: expected each key once"):
        read_yaml(text)


def test_a_merged_mapping_may_be_overridden():
    text = "base: &base {rate_hz: 1, unit: V}\nown:\n  <<: *base\n  rate_hz: 2"
    assert read_yaml(text)["own"] == {"rate_hz": 2, "unit": "V"}


def test_aliases_that_multiply_are_refused_before_anything_is_made():
    lines = ["a0: &a0 [1, 2]"] + [f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 40)]
    with pytest.raises(ContractError, match="at most 1000000 values, with every alias"):
        read_yaml("\n".join(lines))


def test_an_alias_to_what_it_stands_in_is_refused():
    with pytest.raises(ContractError, match="an alias to what it stands in"):
        read_yaml("a: &a [*a]")


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_text("[" * 101)
    with pytest.raises(ContractError, match=r"big\.yaml: expected at most 100 bytes"):
        read_yaml(path, limits=Limits(max_document_bytes=100))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb: [", "line 2, column 5"),
        ("a: !!python/name:os.system x", "line 1, column 4"),
        ("a: 1\n? [b]\n: 2", "line 2, column 3"),
        ("a: *b", "line 1, column 4"),
    ],
)
def test_an_error_of_syntax_names_line_and_column(text, place):
    with pytest.raises(ContractError) as caught:
        read_yaml(text, where="c.yaml")
    assert caught.value.where == f"c.yaml, {place}"


@pytest.mark.parametrize("text", ["a: \x00", "a: 2026-13-45", "[" * 50_000])
def test_whatever_is_wrong_is_an_error_of_the_file(text):
    with pytest.raises(PipelineError, match=r"p\.yaml"):
        read_yaml(text, where="p.yaml", kind_of_error=PipelineError)


def test_an_empty_document_is_nothing():
    assert read_yaml("# only a comment\n") is None


def test_dates_are_dates():
    assert read_yaml("at: 2026-01-01") == {"at": dt.date(2026, 1, 1)}


@pytest.mark.parametrize(
    "text",
    [
        "a: !!binary x", "a: !!set {b, c}", "a: !!omap [b: 1]", "a: !!pairs [b: 1, b: 2]",
        "a: !!bool x", "a: !!timestamp x", "a: !!int x", "a: !!float x", "a: !!str {b: 1}",
        "a: !mine b", "=: 1", "? !!binary x\n: 1",
    ],
)  # fmt: skip
def test_a_tag_is_refused_or_tells_the_truth(text):
    with pytest.raises(ContractError, match="a readable YAML file"):
        read_yaml(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 3_000 + "]" * 3_000, "{a: " * 3_000 + "}" * 3_000, "- " * 3_000 + "x",
     "? " * 200 + "x", "".join(f"{' ' * n}a:\n" for n in range(200)),
     "".join(f"{{b: &a{n} " for n in range(100))],
    ids=["lists", "mappings", "dashes", "keys", "indentation", "anchors"],
)  # fmt: skip
def test_levels_are_bounded_whatever_makes_them(text):
    with pytest.raises(ContractError, match="at most 64 levels"):
        read_yaml(text)


@pytest.mark.parametrize("text", ["a: 1:30", "a: 23:59:59", "a: 1:30.5", "1:2: a"])
def test_numbers_to_the_base_of_60_are_refused(text):
    with pytest.raises(ContractError, match="a plain number"):
        read_yaml(text)


@pytest.mark.parametrize("text", ["a: 0640", "a: -012", "a: 00_7", "010: a"])
def test_numbers_to_the_base_of_8_are_refused(text):
    with pytest.raises(ContractError, match="a number without a leading 0"):
        read_yaml(text)


@pytest.mark.parametrize("text", ["a: 0", "a: 0.5", "a: 0x10", "a: '0640'"])
def test_a_leading_0_that_counts_nothing_is_read(text):
    read_yaml(text)


@pytest.mark.parametrize(
    "text", [f"a: {'9' * 5_000}", f"a: 0x{'f' * 5_000}", f"a: {'9' * 5_000}.0"]
)
def test_a_number_of_thousands_of_digits_is_refused(text):
    with pytest.raises(ContractError, match="a number of at most 64 characters"):
        read_yaml(text)


@pytest.mark.parametrize("text", [r'a: "\ud800"', r'"\udc00": a'])
def test_half_a_character_is_refused(text):
    with pytest.raises(ContractError, match="whole characters"):
        read_yaml(text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_only_utf_8_is_read(tmp_path, encoding):
    path = tmp_path / "c.yaml"
    path.write_bytes("a: é".encode(encoding))
    with pytest.raises(ContractError, match=r"c\.yaml"):
        read_yaml(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(ContractError):
        read_yaml(data.decode("utf-8", "replace"))


@given(st.text("[]{}:,&*!|>-?%@#'\"\\<= \n\tab01.~", max_size=60))
def test_any_signs_of_yaml_are_read_or_refused(text):
    with contextlib.suppress(ContractError):
        read_yaml(text)


def test_as_text_keeps_what_looks_like_a_number():
    text = "007: {gateway: 1E5, plane: no, at: 1:30, on: 2026-01-01}"
    assert read_yaml(text, as_text=True) == {
        "007": {"gateway": "1E5", "plane": "no", "at": "1:30", "on": "2026-01-01"}
    }


def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "p.yaml")
    with pytest.raises(ContractError, match="no ordinary file"):
        read_yaml(tmp_path / "p.yaml")


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "/proc/self", "."])
def test_a_device_or_a_folder_is_refused(tmp_path, place):
    with pytest.raises(ContractError, match="expected a readable UTF-8 file"):
        read_yaml(tmp_path / place)


# --- JSON -----------------------------------------------------------------------------------------


@given(VALUES | st.floats(allow_nan=False, allow_infinity=False))
def test_json_that_was_written_is_read(value):
    assert read_json(json.dumps(value), where="x", kind_of_error=ContractError) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "'a' twice"),
        ('[{"b": {"a": 1, "a": 2}}]', "'a' twice"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[1e999]", "1e999"),
        ("[" + "9" * 5_000 + "]", "a number of 5000 digits"),
        (r'["\ud800"]', "half a character"),
        ("[" * 100_000, "at most 64 levels"),
        ("[" * 65 + "]" * 65, "at most 64 levels"),
        ("{", "readable JSON"),
        ("", "readable JSON"),
        ("\ufeff{}", "readable JSON"),
    ],
)
def test_json_that_nobody_means_is_refused(text, message):
    with pytest.raises(ContractError, match=message):
        read_json(text, where="line 1", kind_of_error=ContractError)


@given(st.text('[]{}:,"\\ud80019eE+-.truefalsnNaI', max_size=40))
def test_any_signs_of_json_are_read_or_refused(text):
    with contextlib.suppress(ContractError):
        read_json(text, where="line 1", kind_of_error=ContractError)
