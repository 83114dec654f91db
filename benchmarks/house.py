"""How big the package is, room by room, and where it is knotted: counted from its source.

Nothing is imported, so an older checkout can be counted beside this one.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from sightline.errors import UsageError

PACKAGE = "sightline"
SMALL_FILE_LINES = 80
"""A file of fewer lines is counted as small."""
LONG_FUNCTION_LINES, MANY_PARAMETERS = 80, 12
"""A function with more of either is counted as large."""
ROOT = "(root)"
"""The room of the files that lie in no folder, such as errors.py."""
_LISTED = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeFunction:
    """A function that is over one of the two bounds.

    Attributes:
        place: file below the package, and name.
        lines: from ``def`` to its end, without decorators.
        parameters: of all kinds, ``self`` included.
    """

    place: str
    lines: int
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a room holds.

    Attributes:
        lines: of its Python files, blank ones and comments included.
        files: Python files.
        one_importer: modules that exactly one other module of the package imports by name.
            What a package passes on from its ``__init__`` has that as its importer.
        small_files: under ``SMALL_FILE_LINES``.
        public_names: in lists called ``__all__``.
        form_checks: calls of ``isinstance`` with a class whose name ends in ``Form``.
        large_functions: over ``LONG_FUNCTION_LINES`` or ``MANY_PARAMETERS``.
    """

    lines: int = 0
    files: int = 0
    one_importer: int = 0
    small_files: int = 0
    public_names: int = 0
    form_checks: int = 0
    large_functions: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(**{name: getattr(self, name) + getattr(other, name) for name in _COLUMNS})


_COLUMNS = tuple(field.name for field in fields(Count))


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A package, counted.

    Attributes:
        rooms: by name, in order of their names.
        large: functions over a bound, the longest first.
    """

    rooms: Mapping[str, Count]
    large: tuple[LargeFunction, ...]

    @property
    def total(self) -> Count:
        return sum(self.rooms.values(), Count())


def read_house(folder: Path) -> House:
    """Count the package in ``folder``: a checkout, its ``src``, or the package itself.

    Raises:
        UsageError: there is no package.
    """
    candidates = [folder / "src" / PACKAGE, folder / PACKAGE, folder]
    package = next((one for one in candidates if (one / "__init__.py").is_file()), None)
    if package is None:
        raise UsageError(
            expected=f"a checkout, or a folder that holds the package {PACKAGE}",
            got=str(folder),
            where="house",
            action="give the src folder of a checkout",
        )
    trees = {}
    counts: dict[str, Count] = defaultdict(Count)
    large: list[LargeFunction] = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        place = path.relative_to(package)
        tree = trees[_module(place)] = ast.parse(text)
        lines = len(text.splitlines())
        found = [one for one in _functions(tree, place) if _is_large(one)]
        large += found
        counts[_room(place)] += Count(
            lines=lines,
            files=1,
            small_files=int(lines < SMALL_FILE_LINES),
            public_names=_public_names(tree),
            form_checks=_form_checks(tree),
            large_functions=len(found),
        )
    for name, importers in _importers(trees).items():
        if len(importers) == 1:
            room = name.split(".")[1] if (package / name.split(".")[1]).is_dir() else ROOT
            counts[room] += Count(one_importer=1)
    return House(
        rooms=dict(sorted(counts.items())),
        large=tuple(sorted(large, key=lambda one: (-one.lines, one.place))),
    )


def house_lines(now: House, before: House | None = None) -> list[str]:
    """A table of rooms and a list of the largest functions, as aligned text.

    Args:
        now: what is counted.
        before: with it, each number stands behind that of before: ``before > now``.
    """
    rooms = sorted({*now.rooms, *(before.rooms if before else ())})
    rows = [["room", *(name.replace("_", " ") for name in _COLUMNS), "share of lines"]]
    for room in [*rooms, "total"]:
        counts = [_count(house, room) for house in (before, now) if house is not None]
        totals = [house.total for house in (before, now) if house is not None]
        numbers = [[f"{getattr(count, name):,}" for count in counts] for name in _COLUMNS]
        shares = [
            f"{count.lines / max(total.lines, 1):.1%}"
            for count, total in zip(counts, totals, strict=True)
        ]
        rows.append([room, *(" > ".join(cell) for cell in (*numbers, shares))])
    large = [
        f"{one.lines:5} lines {one.parameters:3} parameters  {one.place}"
        for one in now.large[:_LISTED]
    ]
    bounds = f"over {LONG_FUNCTION_LINES} lines or {MANY_PARAMETERS} parameters"
    heading = f"large functions, {bounds}: {len(now.large)}"
    return [*_aligned(rows), "", heading, *large]


def _count(house: House, room: str) -> Count:
    return house.total if room == "total" else house.rooms.get(room, Count())


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column flush left, the others flush right.

    >>> _aligned([["a", "1"], ["bb", "100"]])
    ['a     1', 'bb  100']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _room(place: Path) -> str:
    return place.parts[0] if len(place.parts) > 1 else ROOT


def _module(place: Path) -> str:
    """Dotted name of a file below the package.

    >>> _module(Path("sense/__init__.py")), _module(Path("sense/contract.py"))
    ('sightline.sense', 'sightline.sense.contract')
    """
    parts = place.with_suffix("").parts
    return ".".join([PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def _functions(tree: ast.Module, place: Path) -> Iterator[LargeFunction]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            others = [one for one in (given.vararg, given.kwarg) if one is not None]
            yield LargeFunction(
                place=f"{place.as_posix()} {node.name}",
                lines=(node.end_lineno or node.lineno) - node.lineno + 1,
                parameters=len(named) + len(others),
            )


def _is_large(function: LargeFunction) -> bool:
    return function.lines > LONG_FUNCTION_LINES or function.parameters > MANY_PARAMETERS


def _public_names(tree: ast.Module) -> int:
    """How many strings ``__all__`` lists.

    >>> _public_names(ast.parse("__all__ = ['a', 'b']"))
    2
    """
    return sum(
        len(node.value.elts)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.List | ast.Tuple)
        and any(isinstance(one, ast.Name) and one.id == "__all__" for one in node.targets)
    )


def _form_checks(tree: ast.Module) -> int:
    """Calls of ``isinstance`` with a class named ``…Form``, alone, in a tuple or in a union.

    >>> _form_checks(ast.parse("isinstance(a, AlarmForm | forms.ScoreForm) or isinstance(a, int)"))
    1
    """
    found = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            classes = [
                one.id if isinstance(one, ast.Name) else one.attr
                for argument in node.args[1:]
                for one in ast.walk(argument)
                if isinstance(one, ast.Name | ast.Attribute)
            ]
            found += any(name.endswith("Form") for name in classes)
    return found


def _importers(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """By module, the others that import it; a name in a string, such as a registry's, counts too.

    >>> trees = {"sightline.a": ast.parse("from sightline import b"), "sightline.b": ast.parse("")}
    >>> _importers(trees)
    {'sightline.b': {'sightline.a'}}
    """
    found: dict[str, set[str]] = defaultdict(set)
    for importer, tree in trees.items():
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = [node.value.split(":")[0]] if node.value.startswith(PACKAGE) else []
            for name in names:
                if name in trees and name not in (importer, PACKAGE):
                    found[name].add(importer)
    return dict(found)
