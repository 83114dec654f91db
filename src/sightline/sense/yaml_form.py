"""YAML files of people: read within bounds, and checked as a pydantic form.

Every YAML file of Sightline (contracts, cameras, pipelines, subjects) is read here. What YAML
lets pass and people never mean is an error with its line and column: a key that is given twice
(YAML keeps the last one silently), and aliases that make a small file a huge value.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TypeVar

import pydantic
import yaml

from sightline.errors import ContractError, SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits

AnyForm = TypeVar("AnyForm", bound=pydantic.BaseModel)

_ACTIONS: Mapping[str, str] = {
    "missing": "add this field",
    "extra_forbidden": "remove it, or mend its spelling",
    "string_type": "put the value in quotes",
}
_SHOWN_CHARS = 80


def read_yaml(
    path_or_text: Path | str,
    *,
    where: str | None = None,
    kind_of_error: type[SightlineError] = ContractError,
    limits: Limits = DEFAULT_LIMITS,
) -> object:
    """The value that a YAML document says: safe types alone, every key once.

    Args:
        path_or_text: a file (:class:`~pathlib.Path`), or the text itself.
        where: names the document in errors; by default the path.
        kind_of_error: what is raised: the error of whoever the file is for.
        limits: ``max_document_bytes`` of a file, and ``max_document_values`` in the value with
            every alias written out.

    Raises:
        kind_of_error: the file cannot be read, is too large or is no YAML, a key is given twice
            (with both lines), or aliases go round in a circle.

    >>> read_yaml("rate_hz: 15")
    {'rate_hz': 15}
    >>> read_yaml("{a: 1, a: 2}", where="site.yaml")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    sightline.errors.ContractError: site.yaml, line 1, column 8: expected each key once, ...
    """
    if isinstance(path_or_text, Path):
        text = read_document(path_or_text, kind_of_error=kind_of_error, limits=limits)
        where = where or str(path_or_text)
    else:
        text, where = path_or_text, where or "the document"
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Check(loader, where, kind_of_error, limits.max_document_values).check(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise kind_of_error(
            expected="a readable YAML file",
            got=error.problem or error.context or "something else",
            where=where if mark is None else f"{where}, {_place(mark)}",
            action="check the YAML syntax",
        ) from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise kind_of_error(
            expected="a readable YAML file",
            got="too many levels"
            if isinstance(error, RecursionError)
            else " ".join(str(error).split()),
            where=where,
            action="check the YAML syntax",
        ) from error


def read_document(
    path: Path, *, kind_of_error: type[SightlineError] = ContractError, limits: Limits
) -> str:
    """The UTF-8 text of a file of at most ``limits.max_document_bytes``.

    Raises:
        kind_of_error: it cannot be read, is too large, or is no UTF-8.
    """
    most_bytes = limits.max_document_bytes
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
        if len(data) <= most_bytes:
            return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise kind_of_error(
            expected="a readable UTF-8 file",
            got=" ".join(str(error).split()),
            where=str(path),
            action="check the path and the encoding",
        ) from error
    raise kind_of_error(
        expected=f"at most {most_bytes} bytes",
        got="more",
        where=str(path),
        action="check that this is the right file",
    )


def load_form(path: Path, form: type[AnyForm]) -> AnyForm:
    """Read a form from a YAML file.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    return parse_form(read_yaml(path), form, where=str(path))


def parse_form(
    plain: object,
    form: type[AnyForm],
    *,
    where: str,
    kind_of_error: type[SightlineError] = ContractError,
) -> AnyForm:
    """Validate a mapping as a form; ``where`` names it in errors.

    Raises:
        kind_of_error: on the first problem, with the number of problems in all.
    """
    try:
        return form.model_validate(plain)
    except pydantic.ValidationError as error:
        raise refusal(error, where=where, kind_of_error=kind_of_error) from error


def refusal(
    error: pydantic.ValidationError,
    *,
    where: str,
    kind_of_error: type[SightlineError] = ContractError,
    skip: int = 0,
) -> SightlineError:
    """The first problem that pydantic found, in the house's words.

    Args:
        error: what pydantic said.
        where: names the document.
        kind_of_error: what to make of it.
        skip: parts of the place to leave out: a union puts its kind before the fields.
    """
    first = error.errors(include_url=False)[0]
    problems = error.error_count()
    action = _ACTIONS.get(first["type"], "mend this field")
    field = ".".join(str(part) for part in first["loc"][skip:]) or "the document"
    return kind_of_error(
        expected=first["msg"].removeprefix("Value error, "),
        got=_shown(first.get("input")),
        where=f"{where}, {field}",
        action=action + (f" ({problems} problems in all)" if problems > 1 else ""),
    )


class _Check:
    """Looks through a composed document before anything is made of it."""

    def __init__(
        self,
        loader: yaml.SafeLoader,
        where: str,
        kind_of_error: type[SightlineError],
        most_values: int,
    ) -> None:
        self._loader = loader
        self._where = where
        self._kind_of_error = kind_of_error
        self._most_values = most_values
        self._values: dict[int, int] = {}  # of each finished node, aliases written out
        self._open: set[int] = set()

    def check(self, node: yaml.Node) -> int:
        """Number of values in ``node``, itself included."""
        known = self._values.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            raise self._error(node, "values that end", "an alias to what it stands in", "remove it")
        self._open.add(id(node))
        values = 1
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
            values += sum(self.check(key) + self.check(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            values += sum(self.check(value) for value in node.value)
        if values > self._most_values:
            raise self._error(
                node,
                f"at most {self._most_values} values, with every alias written out",
                "more",
                "use fewer aliases, or a smaller file",
            )
        self._open.remove(id(node))
        self._values[id(node)] = values
        return values

    def _check_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[Hashable, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                name: object = key.value
            else:
                name = self._loader.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                continue  # the loader refuses it by itself, with its place
            if name in lines:
                raise self._error(
                    key,
                    "each key once",
                    f"{name!r} again, first in line {lines[name]}",
                    "remove one of the two",
                )
            lines[name] = key.start_mark.line + 1

    def _error(self, node: yaml.Node, expected: str, got: str, action: str) -> SightlineError:
        where = f"{self._where}, {_place(node.start_mark)}"
        return self._kind_of_error(expected=expected, got=got, where=where, action=action)


def _place(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _shown(value: object) -> str:
    # A model validator sees the whole object: its names say enough.
    text = f"the fields {', '.join(map(str, value))}" if isinstance(value, dict) else repr(value)
    return text if len(text) < _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "…"
