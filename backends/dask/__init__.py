"""Dask: rows on the workers of a cluster, summed by another library's kernel.

The plain technique is Dask's own array, written as Dask's documentation does: a graph a
step. The others place one actor on each worker. The actor opens its own rows and descends
together with all others; they exchange d sums a step without Dask's scheduler (as the Dask
interfaces of XGBoost and LightGBM do).
"""
