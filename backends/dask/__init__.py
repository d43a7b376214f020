"""Techniques that use Dask: the rows are divided among the workers of a cluster.

The plain technique, `dask`, uses Dask arrays, with one task graph for each step. The other
techniques, such as `dask:numba`, start an actor (a long-lived object) on each worker. The actor
loads its own rows and computes their gradient with the library after the colon, for example
Numba. In each step the actors add up their gradients without Dask's scheduler, as the Dask
interfaces of XGBoost and LightGBM do.
"""
