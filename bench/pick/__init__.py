"""Choose a backend: cost models, the planner of measurements, and the recommendation.

`pipeline` answers a `question` in this order:

1. `observations` reads the store, and `pipeline.candidates` lists the backends.
2. `fitting` fits a `model` to each backend, from `curves`, `steps`, `uncached`, `peaks`,
   `spread`, `drift` and `draws`; `regime` and `throughput` describe the memory. `known`
   holds all models that were measured at `near` sizes, and excludes the backends that cannot
   be the fastest, unless a part of their setup is in `doubt`.
3. `planner` chooses the next task. First, `looks` measures every library briefly at sizes of
   the `ladder`. Then the task with the most `worth` per second of `expense` is next; `hope`
   estimates the totals of backends that are not completely measured.
4. `explorer` runs the task, saves its outcome and makes a new `known`. Steps 3 and 4 repeat
   until the answer is certain enough or the budget is spent.
5. `recommend` answers the request: `ties` chooses the backend, and `shares` compares steps
   with a plain read. `several_machines` and `verification` run after that.
6. `sentences` and `page` write the answer; `progress` shows a line while tasks run.

Four classes hold the state. Each class contains the class before it, or a part of that class:
`question.Question` (all options) → `recommend.Request` (the descent and the memory) →
`known.Setting` (a request, the machine and the backends) → `known.Known` (a setting and its
models so far).

- A *total* is the time of a whole descent: import, placing the data, first call, all steps.
- A *loop* is a technique that reads the rows in every step: every technique except `gram`.
- The *ladder* is the list of sizes (numbers of rows) to measure; a *rung* is one such size.
- A model is *complete* if it can predict a total.
- A backend is *live* if it is neither excluded nor failed.
- A backend's *rival* is the model to which it is compared: the one with the lowest upper bound
  of the total.
- *Regret* is the pick's total minus the lowest total; `verification` divides the two instead.
- *Hope* is an optimistic estimate of a total of which a part has not been measured.
"""
