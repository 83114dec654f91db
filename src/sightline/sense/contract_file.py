"""Contract files: from YAML to a checked :class:`.Contract`, with errors that name the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline.sense.contract import Contract
from sightline.sense.yaml_form import load_form, parse_form


def load_contract(path: Path) -> Contract:
    """Read a contract from a YAML file.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    return load_form(path, Contract)


def parse_contract(plain: object, *, where: str) -> Contract:
    """Validate a mapping as a contract; ``where`` names it in errors.

    Raises:
        ContractError: on the first problem, with the number of problems in all.
    """
    return parse_form(plain, Contract, where=where)


def contract_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a contract, for editors and other languages."""
    return Contract.model_json_schema()
