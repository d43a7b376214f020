"""Choose a backend: cost models, the planner of measurements, and the recommendation.

`pipeline` answers a `question` in this order:

1. `observations` reads the store, and `pipeline.candidates` lists the backends.
2. `fitting` fits a `model` to each backend, from `curves`, `steps`, `uncached`, `peaks`,
   `spread`, `drift` and `draws`; `regime` and `throughput` describe the memory. `known`
   holds all models that were measured at `near` sizes. It excludes the backends that cannot
   be the fastest, after subtracting the doubtful seconds of their setups (`doubt`).
3. `planner` chooses the next task. The first tasks come from `looks`: they measure every
   library briefly at sizes of the `ladder`. Each later task is the task that removes the most
   expected regret (`worth`) per second (`expense`). `hope` estimates the totals of backends
   that are not completely measured.
4. `explorer` runs the task, saves its outcome and makes a new `known`. Steps 3 and 4 repeat
   until the answer is certain enough or the budget is spent.
5. `recommend` answers the request: `ties` chooses the backend, and `shares` compares steps
   with a plain read. `several_machines` and `verification` run after `recommend`.
6. `sentences` and `page` write the answer; `progress` shows a line while tasks run.

Four classes hold the state. `question.Question` holds all options of the user. It is converted
to a `recommend.Request`: the descent and the memory. A `known.Setting` is a request with the
machine and the backends. A `known.Known` is a setting with the models so far.

- *Placing* the data makes the rows ready for a backend. The *first call* is the first step,
  which may compile code. The *setup* is import, placing and first call.
- A *total* is the time of a whole descent: setup and all steps.
- *Draws* are random values of a total, made from the estimated errors of its parts.
- A *loop* is a technique that reads the rows in every step: every technique except `gram`.
- The *ladder* is the list of sizes (numbers of rows) to measure; a *rung* is one such size.
- A model is *complete* if it can predict a total.
- A backend is *live* if it is neither excluded nor failed.
- A backend's *rival* is the model with which it is compared: the model whose total has the
  lowest upper bound.
- *Regret* is the pick's total minus the lowest total. In `verification`, it is the pick's total
  divided by the lowest total.
- *Hope* is an optimistic estimate of a total, for a backend with an unmeasured part.
"""
