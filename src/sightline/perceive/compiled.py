"""How this package compiles loops: one core, no fast-math, typed for the type checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_njit: Any = numba.njit


def kernel(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these numba types when its module is imported.

    Kernels touch nothing but their arguments, so they run without the interpreter's lock: one on a
    thread (a detector) does not hold up the loop. The machine code is cached beside the source, so
    a machine compiles once. Explicit types with read-only inputs also keep numba from compiling
    again for every mixture of writable and read-only arrays (those from Arrow are read-only).
    """
    compiled: Callable[[Function], Function] = _njit(arguments, cache=True, nogil=True)
    return compiled


def inner_loop(function: Function) -> Function:
    """Compile a function as a part of the kernels that call it."""
    compiled: Function = _njit(function)
    return compiled
