"""Steps of a core calculate on one thread of linear algebra.

How a product of matrices is dealt out to threads decides the last bits of its sums. With as many
threads as the machine has cores, a stage that learns would say other bytes on another machine, and
a replay there would not hold.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol

from threadpoolctl import ThreadpoolController


class Library(Protocol):
    """A loaded library of linear algebra, for example the OpenBLAS that NumPy brings."""

    @property
    def num_threads(self) -> int:
        """On how many threads it calculates."""

    def set_num_threads(self, num_threads: int) -> object:
        """Let it calculate on so many."""


@dataclass(slots=True)
class _Holds:
    """Of this process, as the numbers of threads are: two runs in two threads share them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    depth: int = 0
    before: list[tuple[Library, int]] = field(default_factory=list)


_HOLDS = _Holds()


class OneThread:
    """While any is entered, every library it knows calculates on one thread.

    When the last is left, each has again as many threads as it had. Entering costs some
    microseconds, one where the process calculates on one thread anyway.

    Args:
        libraries: None: those of linear algebra that this process has loaded by now.

    >>> import numpy
    >>> threads = ThreadpoolController().select(user_api="blas")
    >>> with OneThread():
    ...     {library["num_threads"] for library in threads.info()}
    {1}
    """

    def __init__(self, libraries: tuple[Library, ...] | None = None) -> None:
        if libraries is None:
            loaded = ThreadpoolController().lib_controllers
            libraries = tuple(library for library in loaded if library.user_api == "blas")
        self._libraries = libraries

    def __enter__(self) -> None:
        with _HOLDS.lock:
            for library in self._libraries:
                threads = library.num_threads
                if threads != 1:
                    _HOLDS.before.append((library, threads))
                    library.set_num_threads(1)
            _HOLDS.depth += 1

    def __exit__(self, *_: object) -> None:
        with _HOLDS.lock:
            _HOLDS.depth -= 1
            if not _HOLDS.depth:
                for library, threads in _HOLDS.before:
                    library.set_num_threads(threads)
                _HOLDS.before.clear()
