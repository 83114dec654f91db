"""YAML and JSON of people: read within bounds, and checked as a pydantic form.

Every YAML file of Sightline (contracts, cameras, pipelines, subjects) and every JSON document that
others wrote (operator inputs, the manifest of a run) is read here. What the formats let pass and
people never mean is an error: a key that is given twice (the last one would win silently), aliases
that make a small file a huge value, tags, numbers to the base of 60 (``1:30``) or 8 (``0640``), NaN
in JSON, halves of a character (lone surrogates), levels within levels, and files that are none: a
device, a pipe.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pydantic
import yaml

from sightline.errors import ContractError, SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.plain_json import keys_once
from sightline.sense.form_faults import Fault, faults_of, fields_in

AnyForm = TypeVar("AnyForm", bound=pydantic.BaseModel)

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_TAGS = frozenset(
    _TAG + kind for kind in ("null", "bool", "int", "float", "timestamp", "str", "map", "seq")
)
"""What a value can be without a tag; the others make sets, bytes or objects."""
_MOST_NUMBER_CHARS = 64


class _TooDeep(Exception):
    """A document has more levels than allowed."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which counts the levels before it goes into one.

    Args:
        text: the document.
        most_levels: levels of it.
    """

    def __init__(self, text: str, most_levels: int) -> None:
        super().__init__(text)
        self._levels_left = most_levels

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._levels_left -= 1
        if self._levels_left < 0:
            raise _TooDeep
        node = super().compose_node(parent, index)
        self._levels_left += 1
        return node


class _TextLoader(_Loader):
    """Keeps every scalar as it is written: ``007`` is no number, and ``no`` no boolean."""

    yaml_implicit_resolvers: dict[Any, Any] = {}


def read_yaml(
    path_or_text: Path | str,
    *,
    where: str | None = None,
    kind_of_error: type[SightlineError] = ContractError,
    as_text: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> object:
    """The value that a YAML document says: plain types alone, every key once.

    Args:
        path_or_text: a file (:class:`~pathlib.Path`), or the text itself.
        where: names the document in errors; by default the path.
        kind_of_error: what is raised: the error of whoever the file is for.
        as_text: keep keys and values as they are written, whatever they look like.
        limits: ``max_document_bytes`` of a file, ``max_document_levels``, and
            ``max_document_values`` with every alias written out.

    Raises:
        kind_of_error: the file cannot be read, is too large or too deep or is no YAML, a key is
            given twice (with both lines), aliases go round in a circle, or a value is none that
            people mean.

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
        loader = (_TextLoader if as_text else _Loader)(text, limits.max_document_levels)
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
    except _TooDeep:
        raise _too_deep(where, kind_of_error, limits) from None
    # PyYAML makes dates and numbers as it comes to them, and says what is wrong in many ways.
    except (ValueError, LookupError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise kind_of_error(
            expected="a readable YAML file",
            got=" ".join(str(error).split()),
            where=where,
            action="check the YAML syntax",
        ) from error


def read_json(
    source: Path | str | bytes,
    *,
    where: str,
    kind_of_error: type[SightlineError],
    limits: Limits = DEFAULT_LIMITS,
) -> Any:
    """The value that a JSON document of others says, within the bounds of a YAML document.

    Args:
        source: a file, or the text itself.
        where: names the document in errors.
        kind_of_error: what is raised.
        limits: ``max_document_bytes`` of a file, and ``max_document_levels``.

    Raises:
        kind_of_error: it cannot be read, is too large or too deep or is no JSON, a key is given
            twice, a number is not finite, or a text holds half a character.

    >>> read_json('{"mask": 1, "mask": 2}', where="line 1", kind_of_error=ContractError)
    Traceback (most recent call last):
        ...
    sightline.errors.ContractError: line 1: expected readable JSON, got 'mask' twice; \
check the JSON
    """
    text: str | bytes
    if isinstance(source, Path):
        text = read_document(source, kind_of_error=kind_of_error, limits=limits)
    else:
        text = source
    try:
        plain = json.loads(
            text,
            object_pairs_hook=keys_once,
            parse_constant=_not_finite,
            parse_float=_finite_number,
            parse_int=_short_number,
        )
        if not _is_deeper(plain, limits.max_document_levels):
            # The only way a text can be none: an escape that is half a character.
            json.dumps(plain, ensure_ascii=False).encode()
            return plain
    except RecursionError:
        pass
    except ValueError as error:
        raise kind_of_error(
            expected="readable JSON",
            got="half a character" if isinstance(error, UnicodeEncodeError) else str(error),
            where=where,
            action="check the JSON",
        ) from error
    raise _too_deep(where, kind_of_error, limits)


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text}, which is no number of JSON")


def _finite_number(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(text[:_MOST_NUMBER_CHARS])


def _short_number(text: str) -> int:
    if len(text) > _MOST_NUMBER_CHARS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _is_deeper(plain: Any, levels: int) -> bool:
    if not isinstance(plain, dict | list):
        return False
    inner: Sequence[Any] = list(plain.values()) if isinstance(plain, dict) else plain
    return levels <= 0 or any(_is_deeper(value, levels - 1) for value in inner)


def _too_deep(where: str, kind_of_error: type[SightlineError], limits: Limits) -> SightlineError:
    return kind_of_error(
        expected=f"at most {limits.max_document_levels} levels within each other",
        got="more",
        where=where,
        action="check that this is the right file",
    )


def read_document(
    path: Path, *, kind_of_error: type[SightlineError] = ContractError, limits: Limits
) -> str:
    """The UTF-8 text of a file of at most ``limits.max_document_bytes``.

    Raises:
        kind_of_error: it cannot be read, is no file (a folder, a device, a pipe, which may never
            end), is too large, or is no UTF-8.
    """
    most_bytes = limits.max_document_bytes
    try:
        # Without waiting: a pipe that nobody writes to would hold up the open itself.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("no ordinary file")
            data = file.read(most_bytes + 1)
        if len(data) <= most_bytes:
            return data.decode("utf-8")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a NUL in the path
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
        raise refusal(error, where=where, kind_of_error=kind_of_error, form=form) from error


def refusal(
    error: pydantic.ValidationError,
    *,
    where: str,
    kind_of_error: type[SightlineError] = ContractError,
    skip: int = 0,
    form: type[pydantic.BaseModel] | None = None,
) -> SightlineError:
    """The first problem that pydantic found, in the house's words; the others are beside it.

    Args:
        error: what pydantic said.
        where: names the document.
        kind_of_error: what to make of it.
        skip: parts of the place to leave out: a union puts its kind before the fields.
        form: which the document should be, for the names of its fields.
    """
    faults = faults_of(error, fields_in(form) if form is not None else lambda _: {}, skip=skip)
    return error_of(faults, where=where, kind_of_error=kind_of_error)


def error_of(
    faults: Sequence[Fault], *, where: str, kind_of_error: type[SightlineError]
) -> SightlineError:
    """The first of some faults, which has the others beside it.

    Args:
        faults: at least one.
        where: names the document.
        kind_of_error: what to make of them.
    """
    errors = [
        kind_of_error(
            expected=fault.expected,
            got=fault.got,
            where=f"{where}, {'.'.join(fault.place) or 'the document'}",
            action=fault.action,
        )
        for fault in faults
    ]
    if len(errors) > 1:
        errors[0].args = (f"{errors[0]} ({len(errors)} problems in all)",)
    errors[0].beside = tuple(errors[1:])
    return errors[0]


def line_of(text: str, dotted: str) -> int | None:
    r"""The line, from 1, of the value at a place of a YAML text: as far as the place is there.

    Args:
        text: of the document.
        dotted: keys and numbers of items, with full stops between them; a key may hold some.

    >>> line_of("stages:\n  low: {use: alarm}\n", "stages.low.raise_above")
    2
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    rest, line = dotted, None
    while rest and node is not None:
        inside = _inside(node, rest)
        if inside is None:
            break
        line, node, rest = inside
    return line


def _inside(node: yaml.Node, rest: str) -> tuple[int, yaml.Node, str] | None:
    """Line and value of the longest key that ``rest`` begins with, and what is left of it."""
    found: list[tuple[str, int, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        found = [(str(key.value), key.start_mark.line + 1, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        found = [(str(i), item.start_mark.line + 1, item) for i, item in enumerate(node.value)]
    fits = [one for one in found if f"{rest}.".startswith(f"{one[0]}.")]
    if not fits:
        return None
    name, line, value = max(fits, key=lambda one: len(one[0]))
    return line, value, rest[len(name) + 1 :]


class _Check:
    """Looks through a composed document before anything is made of it."""

    def __init__(
        self,
        loader: _Loader,
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
        if node.tag not in _TAGS:
            tag = node.tag.replace(_TAG, "!!")
            raise self._error(node, "a readable YAML file without tags", tag, "remove it")
        self._open.add(id(node))
        values = 1
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
            values += sum(
                (1 if key.tag == _MERGE else self.check(key)) + self.check(value)
                for key, value in node.value
            )
        elif isinstance(node, yaml.SequenceNode):
            values += sum(self.check(value) for value in node.value)
        else:
            self._check_scalar(node)
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

    def _check_scalar(self, node: yaml.Node) -> None:
        text = node.value
        if node.tag in (f"{_TAG}int", f"{_TAG}float"):
            if ":" in text:
                seconds = f"{_sexagesimal(text):g}"
                raise self._error(
                    node,
                    "a plain number",
                    text,
                    f"write {seconds}, if that many seconds are meant; a time or a name in quotes",
                )
            plain = text.lstrip("+-").replace("_", "")
            if node.tag == f"{_TAG}int" and plain[:1] == "0" and plain.isdigit() and int(plain):
                raise self._error(
                    node,
                    "a number without a leading 0, which YAML counts to the base of 8",
                    text,
                    f"write {plain.lstrip('0')}, or {int(plain, 8)}; a name in quotes",
                )
            if len(text) > _MOST_NUMBER_CHARS:
                raise self._error(
                    node,
                    f"a number of at most {_MOST_NUMBER_CHARS} characters",
                    f"{len(text)}",
                    "write it shorter, or put it in quotes",
                )
        if any(0xD800 <= ord(letter) < 0xE000 for letter in text):
            raise self._error(node, "whole characters", ascii(text), "mend the escape")

    def _check_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[Hashable, int] = {}
        for key, _ in node.value:
            if key.tag == _MERGE:
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


def _sexagesimal(text: str) -> float:
    """What YAML 1.1 takes a number with colons for.

    >>> _sexagesimal("1:30")
    90.0
    """
    total = 0.0
    for part in text.replace("_", "").split(":"):
        total = abs(total) * 60 + float(part or 0)
    return total
