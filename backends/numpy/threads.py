"""Threads of NumPy's BLAS."""

from __future__ import annotations

from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def numpys_blas() -> ThreadpoolController:
    """Return the controller of BLAS's threads. It is cached, because finding BLAS is slow."""
    return ThreadpoolController().select(user_api="blas")


def most_threads() -> int:
    """Return the number of threads that NumPy's BLAS may use, and therefore of our own."""
    return max((library["num_threads"] for library in numpys_blas().info()), default=1)
