"""The reference has every field; it is written from the code."""

import importlib.util

from tests.docs.page_files import ROOT


def test_the_reference_is_what_the_code_says():
    spec = importlib.util.spec_from_file_location("made", ROOT / "docs" / "make_reference.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    is_current = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == made.page()
    assert is_current, "run `python docs/make_reference.py`"
