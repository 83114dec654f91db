"""How this package compiles loops: one core, no fast-math, typed for the type checker."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_njit: Any = numba.njit


class Kernel:
    """A function that becomes machine code when it is first called, or by :meth:`warm`.

    Args:
        function: the loop.
        arguments: numba types of its arguments.

    Attributes:
        is_compiled: whether a call goes straight to machine code.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._arguments = arguments
        self.is_compiled = False
        self._run: Callable[..., Any] = self._compile_and_run

    def __call__(self, *values: Any) -> Any:
        """Run it."""
        return self._run(*values)

    def warm(self) -> None:
        """Compile it now, or load it from the cache of this machine.

        Two threads may do so at once: numba lets one wait for the other, and then they have the
        same code twice, of which one stays.
        """
        if not self.is_compiled:
            self._run = _njit(self._arguments, cache=True, nogil=True)(self._function)
            self.is_compiled = True

    def _compile_and_run(self, *values: Any) -> Any:
        self.warm()
        return self._run(*values)


def kernel(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these numba types when it is first called.

    Kernels touch nothing but their arguments, so they run without the interpreter's lock: one on a
    thread (a detector) does not hold up the loop. The machine code is cached beside the source, so
    a machine compiles once. Explicit types with read-only inputs also keep numba from compiling
    again for every mixture of writable and read-only arrays (those from Arrow are read-only).

    What has a deadline does not wait for a compiler: see :func:`warm`. Compiled code calls an
    :func:`inner_loop`, never a kernel.
    """

    def compiled(function: Function) -> Function:
        lazy: Any = Kernel(function, arguments)
        return lazy  # type: ignore[no-any-return]

    return compiled


def inner_loop(function: Function) -> Function:
    """Compile a function as a part of the kernels that call it."""
    compiled: Function = _njit(function)
    return compiled


def warm(*modules: str) -> None:
    """Compile every kernel of these modules, so that no frame and no tick waits for it.

    Whatever answers by a deadline calls it when it is made, with ``__name__`` for its own module.
    """
    for module in modules:
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, Kernel):
                value.warm()
