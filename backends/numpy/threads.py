"""Find and limit the threads of BLAS, the library that computes NumPy's products."""

from __future__ import annotations

from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def numpys_blas() -> ThreadpoolController:
    """Return the object that limits BLAS's threads; the first call of this function is slow."""
    return ThreadpoolController().select(user_api="blas")


def most_threads() -> int:
    """Return the number of threads that BLAS is allowed to use.

    The NumPy techniques use the same number of threads.
    """
    return max((library["num_threads"] for library in numpys_blas().info()), default=1)
