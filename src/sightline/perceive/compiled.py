"""How this package compiles loops: one core, no fast-math, typed for the type checker."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.compiler_lock import global_compiler_lock

Function = TypeVar("Function", bound=Callable[..., Any])

_njit: Any = numba.njit


def kernel(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these numba types when it is first called, or by :func:`warm`.

    Kernels touch nothing but their arguments, so they run without the interpreter's lock: one on a
    thread (a detector) does not hold up the loop. The machine code is cached beside the source, so
    a machine compiles once. Explicit types with read-only inputs also keep numba from compiling
    again for every mixture of writable and read-only arrays (those from Arrow are read-only).

    What has a deadline does not wait for a compiler: see :func:`warm`. Compiled code calls an
    :func:`inner_loop`, never a kernel.
    """

    def lazy(function: Function) -> Function:
        dispatcher: Any = _njit(function, cache=True, nogil=True)
        if dispatcher is function:  # NUMBA_DISABLE_JIT
            return function

        def callable_for(*_: Any) -> Callable[..., Any]:
            _compile(dispatcher)
            return functools.partial(dispatcher)

        # What numba asks, where no machine code fits, for something to call: its own would compile
        # for the types at hand. Once there is code it is not asked any more, so that a call costs
        # what it costs without this.
        dispatcher._compile_for_args = callable_for
        dispatcher.kernel_types = arguments
        compiled: Function = dispatcher
        return compiled

    return lazy


def _compile(dispatcher: Any) -> None:
    """Compile a kernel for its types, once, or load it from the cache of this machine."""
    with global_compiler_lock:
        if not dispatcher.signatures:
            dispatcher.compile(dispatcher.kernel_types)
            dispatcher.disable_compile()


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
            if hasattr(value, "kernel_types"):
                _compile(value)
