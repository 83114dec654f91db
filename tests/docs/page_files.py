"""Files that a page shows: blocks of Python and YAML whose first line is a comment with a name."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FILE = re.compile(
    r"^```(?:python|yaml)\n# (\w[\w.]*\.(?:py|yaml))\b[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def write_files(page, folder):
    """Write every file of ``page`` into ``folder``; their names."""
    found = _FILE.findall((ROOT / page).read_text(encoding="utf-8"))
    for name, text in found:
        (folder / name).write_text(text, encoding="utf-8")
    return [name for name, _ in found]
