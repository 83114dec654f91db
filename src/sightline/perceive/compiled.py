"""How this package compiles loops: one core, no fast-math, typed for the type checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(signature: Any) -> Callable[[Function], Function]:
    """Compile a function for ``signature`` when its module is imported.

    The machine code is cached beside the source, so a machine compiles once. An explicit signature
    with read-only inputs also keeps numba from compiling again for every mixture of writable and
    read-only arrays (those from Arrow are read-only).
    """
    compiled: Callable[[Function], Function] = numba.njit(signature, cache=True)
    return compiled


def inner_loop(function: Function) -> Function:
    """Compile a function as a part of the kernels that call it."""
    compiled: Function = numba.njit(function)
    return compiled
