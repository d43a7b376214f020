"""Find and limit the threads of BLAS, the library that computes NumPy's products."""

from __future__ import annotations

from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def numpys_blas() -> ThreadpoolController:
    """Return the object that limits BLAS's threads. Only the first call is slow."""
    return ThreadpoolController().select(user_api="blas")


def most_threads() -> int:
    """Return the number of threads that BLAS may use. The techniques use as many threads."""
    return max((library["num_threads"] for library in numpys_blas().info()), default=1)
