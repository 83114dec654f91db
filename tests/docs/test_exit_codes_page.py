"""The page of exit codes says what the errors say."""

import re
from pathlib import Path

from sightline import errors
from sightline.errors import SightlineError

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"


def test_each_error_has_its_code_on_the_page():
    told = {
        name: int(code)
        for code, name in re.findall(r"^\| (\d+) \|.*?\| `(\w+)`", PAGE.read_text(), re.MULTILINE)
    }
    kinds = {
        name: found.exit_code
        for name, found in vars(errors).items()
        if isinstance(found, type)
        and issubclass(found, SightlineError)
        and found is not SightlineError
    }
    assert told == kinds
