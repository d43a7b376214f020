"""Write the slope of a loss (its derivative with respect to the prediction) in Triton.

``slope(xp, p, y)`` is called once, with symbols instead of numbers for p and y. Each operation
on a symbol becomes a line of the Triton function. The slope, and the helper functions that it
calls, can use only the operations that `backends.losses` names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NoReturn

from backends.errors import BackendError
from backends.losses import Loss

LARGEST_POWER = 8
"""Largest exponent of ``**`` in the slope of a loss. A power is written as a product in the
Triton function, for example ``p * p * p`` for ``p**3``."""


class Symbol:
    """A variable of the Triton function that is being written: a number, or true or false."""

    def __init__(self, formula: Formula, name: str, mask: bool = False) -> None:
        self.formula, self.name, self.mask = formula, name, mask

    def __neg__(self) -> Symbol:
        return self.formula.add(f"-{self.number}")

    def __pos__(self) -> Symbol:
        return self

    def __abs__(self) -> Symbol:
        return self.formula.call("tl.abs", self)

    def __invert__(self) -> Symbol:
        return self.formula.add(f"~{self.name}", mask=True)

    def __pow__(self, exponent: Any) -> Any:
        if exponent not in range(1, LARGEST_POWER + 1):
            raise TypeError(f"** needs a whole exponent from 1 to {LARGEST_POWER}")
        product: Any = self
        for _ in range(int(exponent) - 1):
            product = product * self
        return product

    def __bool__(self) -> NoReturn:
        raise TypeError("it branches on a row's value; write xp.where")

    def __array_ufunc__(self, ufunc: Any, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"it calls numpy.{ufunc.__name__}; use the functions of xp")

    @property
    def number(self) -> str:
        """The text of the value as a number; true and false become 1 and 0."""
        return f"{self.name}.to(p.dtype)" if self.mask else self.name


def _operator(sign: str, mask: bool = False, swapped: bool = False) -> Callable[..., Any]:
    def operate(self: Symbol, other: Any) -> Symbol:
        a, b = self.number, self.formula.text(other)
        return self.formula.add(f"{b} {sign} {a}" if swapped else f"{a} {sign} {b}", mask)

    return operate


def _of_masks(sign: str) -> Callable[..., Any]:
    def operate(self: Symbol, other: Any) -> Symbol:
        if not (self.mask and isinstance(other, Symbol) and other.mask):
            raise TypeError(f"{sign} needs two conditions")
        return self.formula.add(f"{self.name} {sign} {other.name}", mask=True)

    return operate


for _method, _sign in {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}.items():
    setattr(Symbol, f"__{_method}__", _operator(_sign))
    setattr(Symbol, f"__r{_method}__", _operator(_sign, swapped=True))
for _method, _sign in {
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
}.items():
    setattr(Symbol, f"__{_method}__", _operator(_sign, mask=True))
for _method, _sign in {"and": "&", "or": "|", "xor": "^"}.items():
    setattr(Symbol, f"__{_method}__", _of_masks(_sign))


class Formula:
    """The text of a Triton function, which is written line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, text: str, mask: bool = False) -> Symbol:
        """Append a line that computes the expression `text`; return a symbol for its value."""
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return Symbol(self, name, mask)

    def text(self, value: Any) -> str:
        """Return the Triton code of an operand: the name of a symbol, or a literal number."""
        if isinstance(value, Symbol):
            return value.number
        number = float(value)
        return repr(number) if math.isfinite(number) else f'float("{number}")'

    def tensor(self, value: Any) -> str:
        """Return the Triton code of a function's argument.

        A number is written as a tensor with the dtype of the predictions p, because Triton's
        functions would round a plain number to float32.
        """
        text = self.text(value)
        return text if isinstance(value, Symbol) else f"tl.full((), {text}, p.dtype)"

    def call(self, function: str, *values: Any, **options: str) -> Symbol:
        """Append a line that calls a Triton function, and return a symbol for its result."""
        arguments = [*map(self.tensor, values), *(f"{k}={v}" for k, v in options.items())]
        return self.add(f"{function}({', '.join(arguments)})")

    @property
    def namespace(self) -> SimpleNamespace:
        """The namespace `xp` for a slope; ``xp.exp(p)``, for example, adds a line of code."""

        def of_one(function: str) -> Callable[[Any], Symbol]:
            return lambda value: self.call(function, value)

        def of_two(function: str) -> Callable[[Any, Any], Symbol]:
            # without the option, the result for a NaN would be the other operand
            return lambda a, b: self.call(function, a, b, propagate_nan="tl.PropagateNan.ALL")

        def where(condition: Any, yes: Any, no: Any) -> Symbol:
            if not (isinstance(condition, Symbol) and condition.mask):
                raise TypeError("where needs a condition")
            return self.add(
                f"tl.where({condition.name}, {self.tensor(yes)}, {self.tensor(no)})"
            )

        minimum, maximum = of_two("tl.minimum"), of_two("tl.maximum")
        return SimpleNamespace(
            exp=of_one("tl.exp"),
            log=of_one("tl.log"),
            log1p=of_one("log1p"),
            tanh=of_one("tanh"),
            sqrt=of_one("tl.sqrt"),
            abs=of_one("tl.abs"),
            where=where,
            minimum=minimum,
            maximum=maximum,
            clip=lambda value, lowest, highest: minimum(maximum(value, lowest), highest),
        )


def source_of(loss: Loss) -> str:
    """Return the Python source of the Triton function ``slope(p, y)`` of a loss.

    Raises
    ------
    BackendError
        The loss has no slope, or its slope cannot be translated; the error says why.
    """
    if loss.slope is None:
        raise BackendError(f"{loss.name} defines no slope")
    formula = Formula()
    try:
        result = loss.slope(formula.namespace, Symbol(formula, "p"), Symbol(formula, "y"))
        value = formula.tensor(result)
    except Exception as error:
        raise BackendError(
            f"the slope of {loss.name} cannot be written for Triton: {error}"
        ) from error
    lines = [*formula.lines, f"return ({value}).to(p.dtype)"]
    return "def slope(p, y):\n" + "".join(f"    {line}\n" for line in lines)
