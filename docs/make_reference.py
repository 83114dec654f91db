"""Writes docs/reference.md from the code: every field with type, unit, default, meaning, example.

python docs/make_reference.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from sightline.act import outlet_registry
from sightline.cli.field_examples import default_of, forms_in, in_yaml
from sightline.cli.pipeline_commands import setting_of
from sightline.runtime.pipeline import Pipeline, detector_registry, stage_registry
from sightline.runtime.site import SiteForm
from sightline.sense.contract import Contract
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.opening import source_registry

_HEAD = """\
# Reference of every field

Written by `python docs/make_reference.py` from the code; the same is in `sightline stages NAME`
and, for editors, in `sightline schema contract` and `sightline schema pipeline`. The
[words](words.md) are explained elsewhere. A field without a default is *required*.
"""


def page() -> str:
    """The whole page."""
    seen: set[type[BaseModel]] = set()
    lines = [_HEAD]
    for title, form in (
        ("Pipeline", Pipeline),
        ("Contract of rows", Contract),
        ("Contract of a camera", FrameContract),
        ("Site: the short form", SiteForm),
    ):
        lines += [f"## {title}", "", *_forms(form, seen)]
    for title, registry, attribute in (
        ("Stages", stage_registry(), "Settings"),
        ("Detectors", detector_registry(), "Settings"),
        ("Sources", source_registry(), "Options"),
        ("Outlets", outlet_registry(), "options"),
    ):
        lines += [f"## {title}", ""]
        for name in registry:
            found = registry.find(name, where="installed")
            does = " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split())
            lines += [f"### `{name}`", "", _text(does), ""]
            lines += _forms(getattr(found, attribute), seen, is_named=False, use=name)
    return "\n".join(lines).rstrip() + "\n"


def _forms(
    form: type[BaseModel],
    seen: set[type[BaseModel]],
    *,
    is_named: bool = True,
    use: str = "",
) -> Iterator[str]:
    """A form and those within it that no part of the page has shown yet."""
    for number, one in enumerate(forms_in(form)):
        if one in seen and number:
            continue
        seen.add(one)
        if number or is_named:
            doc = " ".join((inspect.getdoc(one) or "").split("\n\n")[0].split())
            level = "###" if is_named else "####"
            yield from (f"{level} {one.__name__}", "", _text(doc), "")
        if not one.model_fields:
            yield from ("No fields.", "")
            continue
        yield "| field | type | unit | default | meaning | example |"
        yield "|---|---|---|---|---|---|"
        for name, field in one.model_fields.items():
            known = setting_of(one.__name__, name, field)
            default = "*required*" if known["is_required"] else f"`{in_yaml(default_of(field))}`"
            example = use if use and name == "use" else known["example"]
            cells = (
                f"`{name}`", known["type"], known["unit"] or "", default, known["meaning"],
                f"`{name}: {example}`",
            )  # fmt: skip
            yield "| " + " | ".join(map(_text, cells)) + " |"
        yield ""


def _text(words: str) -> str:
    return words.replace("``", "`").replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(page(), encoding="utf-8")
