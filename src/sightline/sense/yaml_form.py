"""Forms in YAML: from a file to a checked pydantic model, with errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from sightline.errors import ContractError

Form = TypeVar("Form", bound=pydantic.BaseModel)


def load_form(path: Path, form: type[Form]) -> Form:
    """Read a form from a YAML file; a key that is given twice is an error.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeyLoader)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(
            expected="a readable YAML file",
            got=" ".join(str(error).split()),
            where=str(path),
            action="check the path and the YAML syntax",
        ) from error
    return parse_form(plain, form, where=str(path))


def parse_form(plain: object, form: type[Form], *, where: str) -> Form:
    """Validate a mapping as a form; ``where`` names it in errors.

    Raises:
        ContractError: on the first problem, with the number of problems in all.
    """
    try:
        return form.model_validate(plain)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ContractError(
            expected=first["msg"].removeprefix("Value error, "),
            got=_shown(first.get("input")),
            where=f"{where}, {field}",
            action=_action(first["type"], error.error_count()),
        ) from error


_ACTIONS: Mapping[str, str] = {
    "missing": "add this field",
    "extra_forbidden": "remove it, or mend its spelling",
    "string_type": "put the value in quotes",
}


def _action(kind: str, problems: int) -> str:
    more = f" ({problems} problems in all)" if problems > 1 else ""
    return _ACTIONS.get(kind, "mend this field") + more


def _shown(value: object) -> str:
    # A model validator sees the whole object: its names say enough.
    text = f"the fields {', '.join(map(str, value))}" if isinstance(value, dict) else repr(value)
    return text if len(text) < 80 else text[:77] + "…"


class UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, but a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)
