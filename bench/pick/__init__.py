"""Choose a backend: cost models, the planner of measurements, and the recommendation.

`pipeline` answers a `question` in this order:

1. `observations` reads the store, and `pipeline.candidates` lists the backends.
2. `fitting` fits a `model` to each backend, from `curves`, `steps`, `uncached`, `peaks`,
   `spread` and `draws`; `regime` and `throughput` describe the memory. `known` holds all
   models, and excludes the backends that cannot be the fastest.
3. `planner` chooses the next task. First, `looks` measures every library briefly at sizes of
   the `ladder`. Then the task with the most `worth` per second of `expense` is next; `hope`
   estimates the totals of backends that are not completely measured.
4. `explorer` runs the task, saves its outcome and makes a new `known`; step 3 follows again.
5. `recommend` chooses the backend; `several_machines` and `verification` run after that.
6. `sentences` and `page` write the answer; `progress` shows a line while tasks run.

Each of these layers contains the one before it, or a part of it: `question.Question` (all
options) → `recommend.Request` (the descent and the memory) → `known.Setting` (a request, the
machine and the backends) → `known.Known` (a setting and its models so far).

A *loop* is any technique but `gram`: it reads the rows in every step (`jax:loop` is one loop
of many). The *ladder* is a list of sizes, and a *rung* is one of the sizes. A model is
*complete* if it predicts a total. A backend is *live* if it is neither excluded nor failed. Its
*rival* is the model with the lowest upper bound, with which the backend is compared. *Regret*
is the pick's total minus the lowest total. *Hope* is an optimistic total if a part is unknown.
"""
