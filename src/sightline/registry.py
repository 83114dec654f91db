"""What is installed: stages, sources, outlets and detectors, found by the name in a pipeline file.

Three places are looked at, in this order: what Sightline brings (named here by module, imported
when it is asked for), entry points of installed packages (group ``sightline.stages`` and so on),
and modules that a pipeline names under ``plugins``. A name that is taken twice is an error: which
one would run must never depend on the order of a search.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from sightline.errors import PipelineError

AnyClass = TypeVar("AnyClass")


class Registry(Generic[AnyClass]):
    """Classes of one kind by name; a value, made anew for each pipeline.

    Args:
        what: the kind in the words of an error: ``stage``, ``source``.
        base: the class that all of them extend.
        built_in: ``module:Class`` by name.
        group: of entry points.
        plugins: imported modules; every class in one that extends ``base`` and has a name counts.
        names: the names of a class.

    Raises:
        PipelineError: a name is taken twice.
    """

    def __init__(
        self,
        what: str,
        base: type[AnyClass],
        *,
        built_in: Mapping[str, str],
        group: str,
        plugins: Sequence[ModuleType] = (),
        names: Callable[[type[AnyClass]], Sequence[str]],
    ) -> None:
        self._what = what
        self._base = base
        self._places: dict[str, str | type[AnyClass]] = dict(built_in)
        for point in entry_points(group=group):
            self._add(point.name, point.value.replace(" ", ""))
        for module in plugins:
            for found in _classes_of(module, base):
                for name in names(found):
                    self._add(name, found)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._places))

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def find(self, name: str, *, where: str) -> type[AnyClass]:
        """The class called ``name``.

        Raises:
            PipelineError: nothing of this name is installed, or it cannot be imported.
        """
        place = self._places.get(name)
        if place is None:
            close = difflib.get_close_matches(name, list(self._places), n=1)
            raise PipelineError(
                expected=f"a {self._what} that is installed: {', '.join(self)}",
                got=name,
                where=where,
                action=f"write {close[0]!r}"
                if close
                else f"mend the name, install the package that brings the {self._what}, "
                "or name its module under plugins",
            )
        if not isinstance(place, str):
            return place
        module_name, _, class_name = place.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise PipelineError(
                expected=f"an importable {self._what}",
                got=f"{place} ({error})",
                where=where,
                action="install what it needs, or remove the package that names it",
            ) from error
        if not (inspect.isclass(found) and issubclass(found, self._base)):
            raise PipelineError(
                expected=f"a class that extends {self._base.__module__}.{self._base.__qualname__}",
                got=place,
                where=where,
                action=f"mend the entry point of the {self._what}",
            )
        return found

    def _add(self, name: str, place: str | type[AnyClass]) -> None:
        known = self._places.get(name)
        if known is not None and known != place:
            raise PipelineError(
                expected=f"one {self._what} called {name!r}",
                got=f"{_named(known)} and {_named(place)}",
                where="installed packages and plugins",
                action="give yours another name, or uninstall one of them",
            )
        self._places[name] = place


def _named(place: str | type[object]) -> str:
    return place if isinstance(place, str) else f"{place.__module__}:{place.__qualname__}"


def _classes_of(module: ModuleType, base: type[AnyClass]) -> list[type[AnyClass]]:
    """Concrete classes that ``module`` itself defines and that extend ``base``."""
    return [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__
        and issubclass(found, base)
        and not inspect.isabstract(found)
    ]


def plugin_folders(names: Sequence[str]) -> list[str]:
    """Where the modules of :func:`import_plugins` were found, for a process that needs them too."""
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    return [
        str(Path(file).parents[name.count(".") + (Path(file).name == "__init__.py")])
        for name, file in files.items()
        if file is not None
    ]


def check_trusted(names: Sequence[str], trusted: Sequence[Path | str], *, where: str) -> None:
    """Refuse what a received file wants imported, unless its reader says so.

    Importing a module runs it, and a name says nothing of where Python would find it. So a name
    must be of a module that is imported already, lie in a folder that the reader gave, or be
    given by the reader itself. The folders are then looked into as ``PYTHONPATH`` is.

    Args:
        names: modules, from the file.
        trusted: folders, and names of modules.
        where: the file, for errors.

    Raises:
        PipelineError: a name is none of these.
    """
    folders = [str(Path(one).resolve()) for one in trusted if Path(one).is_dir()]
    unknown = [
        name
        for name in names
        if name not in sys.modules
        and name not in map(str, trusted)
        and PathFinder.find_spec(name.partition(".")[0], folders) is None
    ]
    if unknown:
        raise PipelineError(
            expected="plugins that you trust: a run directory brings no code of its own",
            got=", ".join(unknown),
            where=f"{where}, plugins",
            action="give their folder, or their names: --plugins, or SIGHTLINE_PLUGINS",
        )
    sys.path += [folder for folder in folders if folder not in sys.path]


def import_plugins(names: Sequence[str], *, where: str) -> tuple[ModuleType, ...]:
    """Import the modules a pipeline names under ``plugins``.

    They are looked for where Python looks for any module. The folder of a pipeline file is no such
    place by itself: whoever loads the file adds it, so that a run directory that somebody sent can
    never bring code of its own.

    Raises:
        PipelineError: a module is missing, or raises when it is imported.
    """
    found = []
    for name in names:
        try:
            found.append(importlib.import_module(name))
        except Exception as error:
            raise PipelineError(
                expected="plugins that can be imported",
                got=f"{name}: {type(error).__name__}: {error}",
                where=where,
                action="install the package, or put the module beside the pipeline file; for an "
                "existing run add its folder to PYTHONPATH",
            ) from error
    return tuple(found)
