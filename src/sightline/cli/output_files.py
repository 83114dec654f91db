"""Files that a command writes: none of them is one that it reads, or another that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sightline.errors import UsageError


def check_outputs(outputs: Mapping[str, Path | None], *, inputs: Sequence[Path | None]) -> None:
    """Refuse to write over what is read, under whatever name, link or hard link.

    Args:
        outputs: by option; None where it was not given.
        inputs: files that the command reads.

    Raises:
        UsageError: an output is an input, or two outputs are one file.
    """
    taken = [("the input", path) for path in inputs if path is not None]
    for option, path in outputs.items():
        if path is None:
            continue
        for name, other in taken:
            if _is_same(path, other):
                raise UsageError(
                    expected="a file of its own to write",
                    got=f"{path}, which is {name}",
                    where=option,
                    action="give another name",
                )
        taken.append((option, path))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there yet
        return one.resolve() == other.resolve()
