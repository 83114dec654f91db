"""Contract files: from YAML to a checked :class:`.Contract`, with errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import yaml

from sightline.errors import ContractError
from sightline.sense.contract import Contract


def load_contract(path: Path) -> Contract:
    """Read a contract from a YAML file.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(
            expected="a readable YAML file",
            got=" ".join(str(error).split()),
            where=str(path),
            action="check the path and the YAML syntax",
        ) from error
    return parse_contract(plain, where=str(path))


def parse_contract(plain: object, *, where: str) -> Contract:
    """Validate a mapping as a contract; ``where`` names it in errors.

    Raises:
        ContractError: on the first problem, with the number of problems in all.
    """
    try:
        return Contract.model_validate(plain)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ContractError(
            expected=first["msg"].removeprefix("Value error, "),
            got=_shown(first.get("input")),
            where=f"{where}, {field}",
            action=_action(first["type"], error.error_count()),
        ) from error


def contract_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a contract, for editors and other languages."""
    return Contract.model_json_schema()


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


class _UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, but a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)
