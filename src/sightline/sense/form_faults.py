"""What is wrong with a form that people wrote, in plain words: each fault with what to write.

pydantic finds the faults; its phrases are those of a library. Here each of its kinds of error
becomes a sentence about the field, with its close name, its unit and its default where that helps.
A kind that is not known yet says what pydantic says.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pydantic
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Place = tuple[str, ...]
"""Of a value in a document: keys and numbers of items, from its root."""
FieldsAt = Callable[[Place], Mapping[str, FieldInfo]]
"""The fields that the part of a document at a place may have; none where that is not known."""

_SHOWN_CHARS = 80
_MOST_NAMED = 12
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "float": "a number", "int": "a whole number", "bool": "true or false",
        "string": "text", "str": "text", "list": "a list: [a, b]", "tuple": "a list: [a, b]",
        "set": "a list: [a, b]", "dict": "a mapping: {name: value}",
        "model": "a mapping: {name: value}", "mapping": "a mapping: {name: value}",
        "model_attributes": "a mapping: {name: value}", "dataclass": "a mapping: {name: value}",
        "datetime": "a date and time", "date": "a date",
    }
)  # fmt: skip
"""What a value has to be, by the beginning of pydantic's name for its being none."""
_PATTERNS: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    (
        r"^[a-z][a-z0-9_]",
        "a name of small letters, digits and _, that begins with a letter",
        lambda text: re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_"),
    ),
    (
        r"^[A-Z][A-Z0-9_]",
        "a code of capital letters, digits and _, that begins with a letter",
        lambda text: re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_"),
    ),
    ("%", "a pattern with %, as %d.%m.%Y %H:%M:%S", lambda _: ""),
    (r"^[0-9a-f]{64}", "64 digits 0 to 9 and a to f, as `sha256sum FILE` prints", lambda _: ""),
)


_KINDS = frozenset(
    ["str", "int", "float", "bool", "list", "tuple", "dict", "none", "constrained-str",
     "constrained-int", "constrained-float"]
)  # fmt: skip
"""pydantic's names for members of a union."""
_SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "float": "number", "double": "number", "real": "number", "int": "integer",
        "bool": "boolean", "str": "text", "string": "text", "error": "critical",
        "alarm": "critical", "warn": "warning", "iso": "iso8601", "iso_8601": "iso8601",
        "unix": "unix_s", "epoch": "unix_s",
    }
)  # fmt: skip
"""Words of other tools for choices of ours."""
_UNITS: Mapping[str, str] = MappingProxyType(
    {"_ms": "milliseconds", "_s": "seconds", "_px": "pixels", "_hz": "hertz", "_m": "metres"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        place: of the value.
        expected: what should stand there.
        got: what does.
        action: what to write.
    """

    place: Place
    expected: str
    got: str
    action: str


def faults_of(
    error: pydantic.ValidationError, fields_at: FieldsAt, *, skip: int = 0
) -> list[Fault]:
    """All that is wrong, in the order of the fields; one fault for each place.

    Args:
        error: what pydantic said.
        fields_at: what the parts of the document may hold.
        skip: parts of each place to leave out: a union puts its kind before the fields.
    """
    found: dict[Place, list[Fault]] = {}
    for one in error.errors(include_url=False):
        said = _Said(
            kind=one["type"],
            words=one["msg"],
            context=one.get("ctx") or {},
            got=one.get("input"),
            place=_without_kinds(tuple(str(part) for part in one["loc"][skip:]), fields_at),
            is_key=one["loc"][-1:] == ("[key]",),
        )
        found.setdefault(said.place, []).append(_fault(said, fields_at))
    joined = [_joined(faults) for faults in found.values()]
    # What is written instead of a misspelt name is not missing too.
    meant = {(*f.place[:-1], f.action[7:-1]) for f in joined if f.action.startswith("write '")}
    return [f for f in joined if not (f.got == "nothing" and f.place in meant)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """One error of pydantic."""

    kind: str
    words: str
    context: Mapping[str, Any]
    got: Any
    place: Place
    is_key: bool
    """Whether it is about the name of an entry, not its value."""

    @property
    def name(self) -> str:
        return self.place[-1] if self.place else ""


def _without_kinds(place: Place, fields_at: FieldsAt) -> Place:
    """The place without pydantic's names for the members of a union."""
    plain = tuple(part for part in place if not re.search(r"[\[(]|^function-", part))
    is_kind = plain and plain[-1] in _KINDS and plain[-1] not in fields_at(plain[:-1])
    return plain[:-1] if is_kind else plain


def _joined(faults: list[Fault]) -> Fault:
    """One fault of those that the members of a union find in one value."""
    first = next((f for f in faults if f.action.startswith("write '")), faults[0])
    expected = "; or ".join(dict.fromkeys(fault.expected for fault in faults))
    return replace(first, expected=expected)


def fields_in(form: type[BaseModel]) -> FieldsAt:
    """The fields of a form and of the forms within it."""

    def at(place: Place) -> Mapping[str, FieldInfo]:
        kinds: list[Any] = [form]
        for part in place:
            inner = [step for kind in kinds for step in _step(kind, part)]
            kinds = inner or kinds  # a part that is no field: the kind of a union
        return {n: f for kind in kinds for m in _models(kind) for n, f in m.model_fields.items()}

    return at


def _models(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return [model for one in typing.get_args(kind) for model in _models(one)]
    if origin is typing.Annotated:
        return _models(typing.get_args(kind)[0])
    return []


def _step(kind: Any, part: str) -> list[Any]:
    """What stands at ``part`` of a value of this kind."""
    models = _models(kind)
    if models:
        return [m.model_fields[part].annotation for m in models if part in m.model_fields]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return [step for one in arguments for step in _step(one, part)]
    if origin is typing.Annotated:
        return _step(arguments[0], part)
    if origin is dict:
        return [arguments[1]]
    if origin in (list, tuple) and part.isdigit():
        return [arguments[0]]
    return []


def _fault(said: _Said, fields_at: FieldsAt) -> Fault:
    name, context, got = said.name, said.context, said.got
    shown, expected, action = _shown(got), "", ""
    match said.kind:
        case _ if "action" in context:  # one that was put in words before
            expected, shown = str(context["expected"]), str(context["got"])
            action = str(context["action"])
        case "missing":
            meaning = _meaning(fields_at(said.place[:-1]).get(name))
            expected = f"`{name}`, which is needed" + (f": {meaning}" if meaning else "")
            shown, action = "nothing", f"add `{name}: …`"
        case "extra_forbidden":
            known, shown = list(fields_at(said.place[:-1])), name
            action = _nearest(name, known)
            is_near = action.startswith("write")
            expected = "a setting that there is" if is_near else _one_of(known, "setting")
        case "literal_error" | "enum":
            choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
            expected = " or ".join(choices) or str(context.get("expected"))
            meant = _SYNONYMS.get(str(got).lower(), str(got))
            action = _nearest(meant, choices, otherwise="write one of them")
        case "string_pattern_mismatch":
            expected, action = _of_pattern(str(context.get("pattern", "")), str(got))
        case "value_error" | "assertion_error":
            expected = said.words.removeprefix("Value error, ")
            action = "mend this field"
        case kind:
            expected = _bound(kind, context) or _kind(kind) or _without_phrase(said.words)
            action = _better(name, expected, got)
            if said.is_key and not isinstance(got, str):  # the word itself is lost: no is false
                expected, action = "a name that is text", "put the name in quotes, as it is written"
    return Fault(place=said.place, expected=expected, got=shown, action=action)


def _better(name: str, expected: str, got: Any) -> str:
    """The value as it should be written, where it can be told; else what it should be."""
    unit = next((words for end, words in _UNITS.items() if name.endswith(end)), "")
    begins = re.match(r"\s*([-+]?\d+(\.\d+)?)(?!\d*:)", got) if isinstance(got, str) else None
    if expected.startswith("a list") and isinstance(got, str | int | float):
        return f"write `{name}: [{got}]`"
    if expected in (_WORDS["float"], _WORDS["int"]) and begins is not None:
        return f"write `{name}: {begins[1]}`" + (f", in {unit}" if unit else "")
    if expected == _WORDS["string"]:
        return f'put it in quotes: `{name}: "{got}"`'
    least = re.fullmatch(r"a number of (at least|at most) (-?[\d.]+)", expected)
    if least:
        more = "more" if least[1] == "at least" else "less"
        return f"write `{name}: {least[2]}` or {more}" + (f", in {unit}" if unit else "")
    return f"write {expected}" + (f", in {unit}" if unit else "")


def _one_of(names: Sequence[str], what: str) -> str:
    if not names:
        return f"no {what} of this name"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"one of the {what}s {', '.join(names[:_MOST_NAMED])}{more}"


def _nearest(name: str, known: Sequence[str], otherwise: str = "remove it") -> str:
    """What to write instead of a name: the closest, also where words of it are in another order."""
    near = difflib.get_close_matches(name.lower(), [one.lower() for one in known], n=1, cutoff=0.6)
    if near:
        return f"write {next(one for one in known if one.lower() == near[0])!r}"
    parts = set(re.split(r"[_\W]+", name.lower()))
    beside = [one for one in known if parts & set(one.split("_")) - {"", "s", "is", "of"}]
    return f"write {beside[0]!r}, if that is meant, or remove it" if beside else otherwise


def _of_pattern(pattern: str, got: str) -> tuple[str, str]:
    """What is expected, and what to write."""
    for begins, words, mended in _PATTERNS:
        if pattern.startswith(begins):
            better = mended(got)
            fits = better and re.match(pattern, better)
            return words, f"write {better!r}" if fits else "mend it"
    return f"text of the form {pattern}", "mend it"


_BOUNDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "greater_than": ("a number above {}", "gt"),
        "greater_than_equal": ("a number of at least {}", "ge"),
        "less_than": ("a number below {}", "lt"),
        "less_than_equal": ("a number of at most {}", "le"),
        "multiple_of": ("a multiple of {}", "multiple_of"),
        "too_short": ("at least {} of them", "min_length"),
        "too_long": ("at most {} of them", "max_length"),
        "string_too_short": ("at least {} characters", "min_length"),
        "string_too_long": ("at most {} characters", "max_length"),
    }
)


def _bound(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "finite_number":
        return "a finite number"
    words, name = _BOUNDS.get(kind, ("", ""))
    bound = context.get(name)
    return words.format(f"{bound:g}" if isinstance(bound, float) else bound) if words else ""


def _kind(kind: str) -> str:
    return _WORDS.get(re.sub(r"_(type|parsing|parsing_size|from_float|sub_type)$", "", kind), "")


def _without_phrase(said: str) -> str:
    plain = re.sub(r"^(Input|Value|String) should (be |have )?(an? valid )?", "", said)
    return plain[:1].lower() + plain[1:]


def _meaning(field: FieldInfo | None) -> str:
    text = " ".join(((field and field.description) or "").split())
    return text.partition(". ")[0].rstrip(".")


def _shown(value: object) -> str:
    # A model validator sees the whole object: its names say enough.
    if isinstance(value, dict):
        text = f"the fields {', '.join(map(str, value))}" if value else "nothing in it"
    else:
        text = "nothing" if value is None else repr(value)
    return text if len(text) < _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "…"
