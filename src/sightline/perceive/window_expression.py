"""SQL expressions of users: a small language that is read here, and that no SQL engine ever sees.

An expression says one number of the rows of a window: ``avg(case when snr_db < 3 then 1 else 0
end)``. It comes from files that others wrote, so what it can do is what is named here: columns,
arithmetic, comparisons, ``case``, and the functions below. There is no way to write a query, a
table, a text, a clock or a random number, so an expression cannot read a file, open a connection
or make more numbers than there are rows. The text becomes a tree of Polars expressions node by
node (ADR 0015); what is accepted means what Polars' own SQL makes of it, on rows without gaps.

    expression := or
    or         := and (OR and)*
    and        := not (AND not)*
    not        := NOT not | test
    test       := compared (IS [NOT] NULL)*
    compared   := sum [(= | <> | != | < | <= | > | >=) sum
                       | [NOT] BETWEEN sum AND sum | [NOT] IN ( sum, … )]
    sum        := product ((+ | -) product)*
    product    := signed ((* | /) signed)*
    signed     := (+ | -) signed | atom
    atom       := number | TRUE | FALSE | NULL | column | function ( … ) | CASE … END | ( or )

A missing value is NULL: aggregates leave it out, and a comparison with it is not true. A result
that is no number (0/0, the root of -1) is missing too. Division is never of integers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum

import polars as pl

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_.])"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r'|(?P<quoted>"[A-Za-z][A-Za-z0-9_]*")'
    r"|(?P<comment>--|/\*)"
    r"|(?P<sign><=|>=|<>|!=|==|[-+*/()<>=,])"
)
_KEYWORDS = frozenset(
    ["and", "between", "case", "distinct", "else", "end", "in", "is", "not", "or", "then", "when"]
)
_CONSTANTS = frozenset(["null", "true", "false"])
_QUERY_WORDS = frozenset(
    ["cast", "exists", "extract", "filter", "from", "group", "having", "join", "like", "limit",
     "order", "over", "partition", "select", "union", "where", "with"]
)  # fmt: skip


class _Level(IntEnum):
    """What a value is one of: it takes the largest of its parts."""

    CONSTANT = 0
    WINDOW = 1
    """One per window: an aggregate, or made of aggregates."""
    ROW = 2
    """One per row: a column, or made of columns."""


@dataclass(frozen=True, slots=True)
class _Value:
    expr: pl.Expr
    level: _Level
    is_boolean: bool = False
    may_be_nan: bool = False
    constant: float | None = None
    """The number that a literal says."""
    size: int = 1
    """Nodes of ``expr``, those that stand in it twice counted twice."""

    @property
    def known(self) -> pl.Expr:
        """NaN as null, which comparisons and aggregates understand."""
        return self.expr.fill_nan(None) if self.may_be_nan else self.expr

    @property
    def number(self) -> pl.Expr:
        """As a number: true is 1."""
        return self.expr.cast(pl.Float64) if self.is_boolean else self.known


def _at_least_one(x: pl.Expr, found: pl.Expr) -> pl.Expr:
    return pl.when(x.count() > 0).then(found)


_AGGREGATES: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "avg": lambda x: x.mean(),
    "sum": lambda x: _at_least_one(x, x.sum()),
    "min": lambda x: x.min(),
    "max": lambda x: x.max(),
    "first": lambda x: x.first(),
    "last": lambda x: x.last(),
    "median": lambda x: x.median(),
    "stddev": lambda x: x.std(),
    "variance": lambda x: x.var(),
}
"""Of one value per row, rows in canonical order; ``count`` apart, which also counts rows."""
_QUANTILES = {"quantile_cont": "linear", "quantile_disc": "equiprobable"}
_FUNCTIONS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "abs": lambda x: x.abs(),
    "ceil": lambda x: x.ceil(),
    "floor": lambda x: x.floor(),
    "sign": lambda x: x.sign(),
    "sqrt": lambda x: x.sqrt(),
    "exp": lambda x: x.exp(),
    "ln": lambda x: x.log(),
    "log10": lambda x: x.log(10.0),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "tan": lambda x: x.tan(),
    "asin": lambda x: x.arcsin(),
    "acos": lambda x: x.arccos(),
    "atan": lambda x: x.arctan(),
    "degrees": lambda x: x.degrees(),
    "radians": lambda x: x.radians(),
}
"""Of one number."""
_PAIRS: Mapping[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "pow": lambda x, y: x.pow(y),
    "atan2": pl.arctan2,
    "nullif": lambda x, y: pl.when((x == y).fill_null(value=False)).then(None).otherwise(x),
}
"""Of two numbers."""
_LISTS: Mapping[str, Callable[[Sequence[pl.Expr]], pl.Expr]] = {
    "coalesce": pl.coalesce,
    "greatest": pl.max_horizontal,
    "least": pl.min_horizontal,
}
"""Of one number or more."""
_OTHER_NAMES = {
    "ceiling": "ceil",
    "ifnull": "coalesce",
    "power": "pow",
    "stdev": "stddev",
    "stddev_samp": "stddev",
    "var": "variance",
    "var_samp": "variance",
}
FUNCTIONS = tuple(
    sorted({*_AGGREGATES, "count", *_QUANTILES, *_FUNCTIONS, "round", *_PAIRS, *_LISTS})
)
"""Every function of the language."""
_MOST_DECIMALS = 15
_SHOWN_CHARS = 40
_TWICE = frozenset({"sum", "nullif"})
"""What stands twice in what these are made of is their first value."""


@dataclass(frozen=True, slots=True)
class WindowExpression:
    """An expression that was read.

    Attributes:
        expr: gives one number or boolean per window, within a ``group_by``.
        columns: the columns it reads, sorted.
    """

    expr: pl.Expr
    columns: tuple[str, ...]


def window_expression(
    sql: str, columns: Sequence[str], *, limits: Limits = DEFAULT_LIMITS
) -> WindowExpression:
    """Read an expression over the numeric ``columns`` of rows.

    Args:
        sql: the text.
        columns: that it may read; each is Float64, NaN where missing.
        limits: ``max_expression_chars``, ``max_expression_depth`` and ``max_expression_parts``.

    Raises:
        UsageError: it is none of this language, reads another column, does not aggregate, or is
            larger than the limits; ``where`` says at which character.

    >>> rows = pl.DataFrame({"at": [1, 1, 2], "v": [1.0, math.nan, 4.0]})
    >>> share = window_expression("avg(case when v > 2 then 1 else 0 end)", ["v"])
    >>> rows.group_by("at", maintain_order=True).agg(share.expr.alias("x"))["x"].to_list()
    [0.0, 1.0]
    >>> window_expression("(select 1)", ["v"])
    Traceback (most recent call last):
        ...
    sightline.errors.UsageError: character 2: expected no query, got select; write columns, \
arithmetic, comparisons, CASE and functions: docs/expressions.md
    """
    reader = _Reader(sql, columns, limits)
    value = reader.whole()
    if value.level is not _Level.WINDOW:
        raise UsageError(
            expected="one number per window",
            got="one per row" if value.level is _Level.ROW else "a constant",
            where="the expression",
            action=f"aggregate it: {', '.join(sorted(_AGGREGATES))}, count",
        )
    return WindowExpression(value.known, tuple(sorted(reader.read)))


class _Reader:
    """Reads one expression, from left to right; each method reads the rule it is named for."""

    def __init__(self, sql: str, columns: Sequence[str], limits: Limits) -> None:
        if len(sql) > limits.max_expression_chars:
            raise UsageError(
                expected=f"an expression of at most {limits.max_expression_chars} characters",
                got=f"{len(sql)}",
                where="the expression",
                action="write it shorter, or as several expressions",
            )
        self._columns = columns
        self._limits = limits
        self._depth = 0
        self._tokens = list(_tokens(sql))
        self._next = 0
        self.read: set[str] = set()

    def whole(self) -> _Value:
        value = self._or()
        if self._peek() != "":
            raise self._error("an operator, or the end")
        return value

    # --- rules ------------------------------------------------------------------------------------

    def _or(self) -> _Value:
        with self._deeper():
            value = self._and()
            while self._take("or"):
                value = self._logical(value, self._and(), lambda x, y: x | y)
            return value

    def _and(self) -> _Value:
        value = self._not()
        while self._take("and"):
            value = self._logical(value, self._not(), lambda x, y: x & y)
        return value

    def _not(self) -> _Value:
        if not self._take("not"):
            return self._test()
        with self._deeper():
            value = self._boolean(self._not())
            return self._value(value.expr.not_(), value, is_boolean=True)

    def _test(self) -> _Value:
        value = self._compared()
        while self._take("is"):
            is_not = self._take("not")
            self._expect("null")
            known = value.known
            expr = known.is_not_null() if is_not else known.is_null()
            value = self._value(expr, value, is_boolean=True)
        return value

    def _compared(self) -> _Value:
        value = self._sum()
        sign = self._peek()
        if sign in _COMPARISONS:
            self._advance()
            value = self._compare(sign, value, self._sum())
            if self._peek() in _COMPARISONS:
                raise self._error("AND between two comparisons, or brackets")
            return value
        is_not = sign == "not"
        if is_not:
            self._advance()
        if self._take("between"):
            low = self._number(self._sum())
            self._expect("and")
            high = self._number(self._sum())
            expr = self._number(value).known.is_between(low.known, high.known)
            value = self._value(expr, value, low, high, is_boolean=True)
        elif self._take("in"):
            self._expect("(")
            listed = self._list(self._sum)
            numbers = [one.constant for one in listed]
            if None in numbers:
                raise self._error("numbers alone in the brackets after IN")
            expr = self._number(value).known.is_in(numbers)
            value = self._value(expr, value, *listed, is_boolean=True)
        elif is_not:
            raise self._error("BETWEEN or IN after NOT")
        return self._value(value.expr.not_(), value, is_boolean=True) if is_not else value

    def _sum(self) -> _Value:
        value = self._product()
        while (sign := self._peek()) in ("+", "-"):
            self._advance()
            add: _Pair = (lambda x, y: x + y) if sign == "+" else (lambda x, y: x - y)
            value = self._arithmetic(value, self._product(), add)
        return value

    def _product(self) -> _Value:
        value = self._signed()
        while (sign := self._peek()) in ("*", "/"):
            self._advance()
            times: _Pair = (lambda x, y: x * y) if sign == "*" else (lambda x, y: x / y)
            value = self._arithmetic(value, self._signed(), times)
        return value

    def _signed(self) -> _Value:
        sign = self._peek()
        if sign not in ("+", "-"):
            return self._atom()
        self._advance()
        with self._deeper():
            value = self._signed()
        if value.constant is not None:
            return _literal(-value.constant if sign == "-" else value.constant)
        if sign == "-":
            return self._arithmetic(_literal(0.0), value, lambda x, y: x - y)
        return self._number(value)

    def _atom(self) -> _Value:
        kind, text, _ = self._tokens[self._next]
        word = text.lower()
        if kind == "number":
            return self._literal_number(text)
        if self._take("("):
            value = self._or()
            self._expect(")")
            return value
        if self._take("case"):
            return self._case()
        if kind not in ("word", "quoted") or word in _KEYWORDS:
            raise self._error("a number, a column, a function, CASE or a bracket")
        if word in _QUERY_WORDS:
            raise self._error("no query")
        self._advance()
        if word in _CONSTANTS:
            return _constant(word)
        if kind == "word" and self._take("("):
            return self._function(text)
        return self._column(text.strip('"'))

    def _case(self) -> _Value:
        subject = None if self._peek() == "when" else self._or()
        cases: list[tuple[_Value, _Value]] = []
        self._expect("when")
        while True:
            condition = self._or()
            if subject is not None:
                condition = self._compare("=", subject, condition)
            self._expect("then")
            cases.append((self._boolean(condition), self._or()))
            if not self._take("when"):
                break
        otherwise = self._or() if self._take("else") else None
        self._expect("end")
        results = [result for _, result in cases] + ([] if otherwise is None else [otherwise])
        is_boolean = all(result.is_boolean for result in results)
        # Which branch says it is known before the value: a branch that is missing stays missing.
        whens = pl.when(cases[0][0].expr).then(_as(cases[0][1], is_boolean=is_boolean))
        for condition, result in cases[1:]:
            whens = whens.when(condition.expr).then(  # type: ignore[assignment]
                _as(result, is_boolean=is_boolean)
            )
        expr: pl.Expr = whens
        if otherwise is not None:
            expr = whens.otherwise(_as(otherwise, is_boolean=is_boolean))
        parts = [condition for condition, _ in cases] + results
        return self._value(expr, *parts, is_boolean=is_boolean)

    def _function(self, written: str) -> _Value:
        at = self._next - 2
        name = _OTHER_NAMES.get(written.lower(), written.lower())
        if name not in FUNCTIONS:
            self._next = at
            raise self._error("a function of the language", f"choose one of {', '.join(FUNCTIONS)}")
        if name == "count":
            return self._count_function()
        given = self._list(self._or)
        wanted = self._wanted_arguments(name, len(given))
        if len(given) not in wanted:
            self._next = at
            raise self._error(
                f"{written} of {' or '.join(map(str, wanted))} values, not {len(given)}"
            )
        if name in _AGGREGATES:
            return self._aggregate(given[0], at, _AGGREGATES[name], is_twice=name in _TWICE)
        if name in _QUANTILES:
            share = given[1].constant
            if share is None or not 0 <= share <= 1:
                self._next = at
                raise self._error(f"{written} of a value and a number from 0 to 1")
            how = _QUANTILES[name]
            return self._aggregate(given[0], at, lambda x: x.quantile(share, how))  # type: ignore[arg-type]
        if name == "round":
            decimals = given[1].constant if len(given) > 1 else 0.0
            if decimals is None or decimals not in range(_MOST_DECIMALS + 1):
                self._next = at
                raise self._error(f"{written} to 0 … {_MOST_DECIMALS} decimals, as a number")
            expr = self._number(given[0]).expr.round(int(decimals), mode="half_away_from_zero")
            return self._value(expr, given[0], may_be_nan=True)
        numbers = [self._number(one).known for one in given]
        if name in _FUNCTIONS:
            expr = _FUNCTIONS[name](numbers[0])
        elif name in _PAIRS:
            expr = _PAIRS[name](numbers[0], numbers[1])
        else:
            expr = _LISTS[name](numbers)
        again = given[:1] if name in _TWICE else []
        return self._value(expr, *given, *again, may_be_nan=True)

    @staticmethod
    def _wanted_arguments(name: str, given: int) -> tuple[int, ...]:
        if name in _LISTS:
            return (max(given, 1),)
        if name == "round":
            return (1, 2)
        return (2,) if name in _PAIRS or name in _QUANTILES else (1,)

    def _count_function(self) -> _Value:
        at = self._next - 2
        if self._take("*"):
            self._expect(")")
            return _Value(pl.len().cast(pl.Float64), _Level.WINDOW)
        is_distinct = self._take("distinct")
        value = self._or()
        self._expect(")")
        counted: Callable[[pl.Expr], pl.Expr] = (
            (lambda x: x.drop_nulls().n_unique()) if is_distinct else (lambda x: x.count())
        )
        return self._aggregate(value, at, lambda x: counted(x).cast(pl.Float64))

    def _column(self, name: str) -> _Value:
        if name not in self._columns:
            self._next -= 1
            raise self._error(
                "one of the numeric fields", f"choose one of {', '.join(self._columns)}"
            )
        self.read.add(name)
        return _Value(pl.col(name).fill_nan(None), _Level.ROW)

    def _literal_number(self, text: str) -> _Value:
        number = float(text)
        if not math.isfinite(number):
            raise self._error("a number within ±1.8e308")
        self._advance()
        return _literal(number)

    def _list(self, rule: Callable[[], _Value]) -> list[_Value]:
        """Values between commas, up to the closing bracket."""
        found = [rule()]
        while self._take(","):
            found.append(rule())
        self._expect(")")
        return found

    # --- what values are made of ------------------------------------------------------------------

    def _aggregate(
        self, value: _Value, at: int, how: Callable[[pl.Expr], pl.Expr], *, is_twice: bool = False
    ) -> _Value:
        if value.level is not _Level.ROW:
            self._next = at
            got = "a constant" if value.level is _Level.CONSTANT else "an aggregate"
            raise self._error(f"an aggregate of columns, not of {got}")
        again = (value,) if is_twice else ()
        made = self._value(how(value.number), value, *again)
        return replace(made, level=_Level.WINDOW)

    def _value(
        self, expr: pl.Expr, *parts: _Value, is_boolean: bool = False, may_be_nan: bool = False
    ) -> _Value:
        """What is made of ``parts``, each counted as often as it stands in ``expr``."""
        size = 1 + sum(part.size for part in parts)
        if size > self._limits.max_expression_parts:
            raise self._error(
                f"at most {self._limits.max_expression_parts} parts",
                "write it as several expressions",
            )
        level = self._level(*parts)
        return _Value(expr, level, is_boolean=is_boolean, may_be_nan=may_be_nan, size=size)

    def _arithmetic(self, x: _Value, y: _Value, how: _Pair) -> _Value:
        x, y = self._number(x), self._number(y)
        return self._value(how(x.expr, y.expr), x, y, may_be_nan=True)

    def _compare(self, sign: str, x: _Value, y: _Value) -> _Value:
        if x.is_boolean != y.is_boolean:
            raise self._error("a comparison of two numbers, or of two conditions")
        return self._value(_COMPARISONS[sign](x.known, y.known), x, y, is_boolean=True)

    def _logical(self, x: _Value, y: _Value, how: _Pair) -> _Value:
        x, y = self._boolean(x), self._boolean(y)
        return self._value(how(x.expr, y.expr), x, y, is_boolean=True)

    def _level(self, *values: _Value) -> _Level:
        level = max(value.level for value in values)
        if level is _Level.ROW and any(value.level is _Level.WINDOW for value in values):
            raise self._error("either aggregates or columns, not both in one operation")
        return level

    def _boolean(self, value: _Value) -> _Value:
        if not value.is_boolean:
            raise self._error("a condition, as in `v > 3`, and no number")
        return value

    def _number(self, value: _Value) -> _Value:
        if value.is_boolean:
            raise self._error("a number: of a condition `case when … then 1 else 0 end` makes one")
        return value

    # --- tokens -----------------------------------------------------------------------------------

    def _peek(self) -> str:
        kind, text, _ = self._tokens[self._next]
        return text.lower() if kind in ("word", "sign") else "" if kind == "end" else kind

    def _take(self, text: str) -> bool:
        if self._peek() != text:
            return False
        self._advance()
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._error(text.upper())

    def _advance(self) -> None:
        self._next += 1

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        """Within one more bracket, function, CASE, NOT or sign."""
        self._depth += 1
        if self._depth > self._limits.max_expression_depth:
            raise self._error(
                f"at most {self._limits.max_expression_depth} brackets within each other",
                "write it as several expressions",
            )
        yield
        self._depth -= 1

    def _error(self, expected: str, action: str = "") -> UsageError:
        _, text, at = self._tokens[self._next]
        return UsageError(
            expected=expected,
            got=text[:_SHOWN_CHARS] or "the end",
            where=f"character {at + 1}",
            action=action
            or "write columns, arithmetic, comparisons, CASE and functions: docs/expressions.md",
        )


_Pair = Callable[[pl.Expr, pl.Expr], pl.Expr]
_COMPARISONS: Mapping[str, _Pair] = {
    "=": lambda x, y: x == y,
    "==": lambda x, y: x == y,
    "<>": lambda x, y: x != y,
    "!=": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
}


def _literal(number: float) -> _Value:
    return _Value(pl.lit(number, dtype=pl.Float64), _Level.CONSTANT, constant=number)


def _constant(word: str) -> _Value:
    if word == "null":
        return _Value(pl.lit(None, dtype=pl.Float64), _Level.CONSTANT)
    return _Value(pl.lit(word == "true"), _Level.CONSTANT, is_boolean=True)


def _as(value: _Value, *, is_boolean: bool) -> pl.Expr:
    return value.expr if is_boolean else value.number


def _tokens(sql: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and place of each token; at last one of the kind ``end``."""
    at = 0
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        if found is None or found.lastgroup == "comment":
            raise UsageError(
                expected="no comment" if found else "an expression",
                got=found.group() if found else ascii(sql[at]),
                where=f"character {at + 1}",
                action="write columns, numbers, words and + - * / ( ) , < > = alone",
            )
        if found.lastgroup != "space":
            yield str(found.lastgroup), found.group(), at
        at = found.end()
    yield "end", "", len(sql)
