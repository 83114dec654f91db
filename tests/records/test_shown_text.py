"""Data as text for people: nothing in it can act on a terminal, or forge a line."""

import json
import unicodedata
from xml.dom import minidom

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sightline.records.shown_text import in_json, markup, one_line, seen

ANY = st.text(st.characters(categories=["L", "N", "P", "Cc", "Cf", "Cs", "Zl", "Zp", "Zs"]))
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


@given(ANY)
def test_one_line_has_no_control_character_no_mark_of_direction_and_no_half_of_a_character(text):
    shown = one_line(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not set(shown) & set(BIDI)


@given(ANY)
def test_one_line_is_one_line(text):
    assert len(one_line(text).splitlines()) <= 1


@given(st.text(st.characters(categories=["Lu", "Ll", "Nd", "Po", "Sm"])))
def test_what_is_seen_stays_as_it_is(text):
    assert one_line(text) == text


@given(ANY)
def test_markup_is_xml_whatever_the_text(text):
    minidom.parseString(f"<a b='{markup(text)}'>{markup(text)}</a>".encode())


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
@example("\ud800\udc00")  # two halves beside each other are one character wherever JSON escapes
def test_json_means_the_same_with_what_is_not_seen_written_out(plain):
    text = in_json(json.dumps(plain, ensure_ascii=False, indent=1))
    assert json.loads(text) == json.loads(json.dumps(plain))
    assert not set(text) & set(BIDI)


def test_json_of_half_a_character_can_be_written():
    assert json.loads(in_json(json.dumps("\ud800", ensure_ascii=False)).encode()) == "\ud800"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\rc", r"a\nb\rc"),
        ("\x1b]0;PWNED\x07", r"\x1b]0;PWNED\x07"),
        ("\u202eevil", r"\u202eevil"),
        ("\ud800", r"\ud800"),
        ("a\u2028b", r"a\u2028b"),
        ("\x9b31m", r"\x9b31m"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_not_seen_is_written_out(text, shown):
    assert one_line(text) == shown


def test_line_breaks_of_our_own_stay():
    assert seen("a\n\x1b[2Jb") == "a\n\\x1b[2Jb"
