"""Dask: rows on the workers of a cluster, summed by another library's kernel.

The plain technique uses Dask's own array as Dask's documentation does, with one task graph for
each step. The other techniques place one actor on each worker. The actor opens its own rows. In
each step the actors exchange d sums without Dask's scheduler, as the Dask interfaces of XGBoost
and LightGBM do.
"""
