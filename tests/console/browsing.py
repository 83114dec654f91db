"""A headless browser, and the rules of axe, where they are installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AXE = "SIGHTLINE_AXE"
_PLACES = ("build/axe/node_modules/axe-core/axe.min.js", "node_modules/axe-core/axe.min.js")


def chromium():
    """The browser's program; skips without."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium: apt-get install chromium")
    return found


def started(playwright):
    """A browser. As root its sandbox does not start, and a page of ours needs none."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    flags = ["--no-sandbox"] if root else []
    return playwright.chromium.launch(executable_path=chromium(), args=flags)


def axe_rules():
    """The text of axe-core; skips without."""
    places = [os.environ.get(AXE, ""), *(str(ROOT / place) for place in _PLACES)]
    for place in places:
        if place and Path(place).is_file():
            return Path(place).read_text(encoding="utf-8")
    pytest.skip(f"no axe-core: `make axe`, or its axe.min.js in {AXE}")


def violations(page, rules):
    """What axe finds wrong on a page, in words."""
    page.evaluate(rules)
    found = page.evaluate("axe.run(document)")
    assert len(found["passes"]) > 5
    return [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found["violations"]]
