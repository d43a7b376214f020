"""Choose a backend: cost models, the planner of measurements, and the recommendation.

`pipeline` answers a `question` in this order:

1. `observations` reads earlier measurements. `pipeline.candidates` lists the backends.
2. `fitting` fits a cost model (`model`) to each backend. `known` keeps the models and excludes
   the backends that cannot be the fastest.
3. `planner` chooses the next task. `looks` lists the first tasks of each library. After these
   tasks, each task is the one that is expected to improve the pick most (`worth`) per second
   of measuring (`expense`).
4. `explorer` runs the task and saves its outcome. Steps 2 to 4 repeat until the answer is
   certain enough or the budget is spent.
5. `recommend` chooses the backend and collects the figures of the answer.
6. `several_machines` predicts the time on several machines. For ``--verify``, `verification`
   compares the predictions with new measurements.
7. `sentences` and `page` write the answer.

The other modules have these tasks:

- `curves`, `steps`, `uncached` and `peaks` predict times and memory from the number of rows.
- `spread`, `drift` and `draws` estimate the errors of a prediction.
- `regime` and `throughput` describe the caches and the memory of the machine.
- `ladder` lists the sizes to measure. `near` decides which sizes are near the request.
- `doubt` estimates by how many seconds a measured setup time can exceed the usual setup time.
- `hope` estimates the totals of backends that are not completely measured.
- `ties` chooses between backends with similar totals.
- `shares` compares the time of a step with the time of reading the same bytes.
- `progress` shows a line while tasks run.

Four classes hold the state:

- `question.Question` holds all options of the user.
- `recommend.Request` holds the descent and the available memory.
- `known.Setting` holds a request, the backends and the machine.
- `known.Known` holds a setting and the models that were fitted so far.

These words have a special meaning in this package:

- *Placing* the data makes the rows ready for a backend. The *first call* is the first step,
  which often compiles code. The *setup* is import, placing and first call.
- A *total* is the time of a whole descent: setup and all steps.
- *Draws* are random values of a total, made from the estimated errors of its parts.
- A *loop* is a technique that reads the rows in every step: every technique except `gram`.
- The *ladder* is the list of sizes (numbers of rows) to measure; a *rung* is one such size.
- A model is *complete* if it can predict a total.
- A backend is *live* if it is neither excluded nor failed.
- The *rival* is the backend whose total has the lowest upper bound. The other backends are
  compared with the rival.
- *Regret* is the time lost with a wrong pick: the pick's total minus the lowest total. In
  `verification`, the pick's total is divided by the lowest total instead.
- *Hope* is an optimistic estimate of a total, for a backend with an unmeasured part.
"""
