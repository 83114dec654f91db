"""SQL expressions of users: what they may say, and that Polars' SQL means the same by it."""

import math
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import UsageError
from sightline.perceive.window_expression import FUNCTIONS, window_expression

ROWS = pl.DataFrame({
    "at": [0, 0, 0, 1, 1, 2],
    "v": [1.0, -2.5, 4.0, 3.0, 3.0, 0.0],
    "w": [0.5, 2.0, 8.0, -1.0, 0.0, 7.25],
})  # fmt: skip
GAPS = pl.DataFrame({"at": [0, 0, 1], "v": [1.0, math.nan, math.nan]})


def evaluated(expr, rows=ROWS):
    found = rows.group_by("at", maintain_order=True).agg(expr.alias("x"))["x"]
    return [None if x is None or math.isnan(x) else x for x in found.cast(pl.Float64)]


def value(sql, rows=ROWS):
    return evaluated(window_expression(sql, ["v", "w"]).expr, rows)


# --- what is refused ------------------------------------------------------------------------------

QUERIES = (
    "(select max(a) from read_csv('/etc/passwd'))",
    "max(v) + (select max(s) from read_parquet('http://127.0.0.1:1/x'))",
    "exists (select 1)",
    "max(v) in (select 1)",
    "with t as (select 1) select 1",
    "max(v) from read_csv(x)",
    "max(v) over (partition by w)",
    "max(v) union select 1",
    "row_number() over ()",
)
FUNCTIONS_OF_ELSEWHERE = (
    "now()", "current_timestamp", "current_date", "extract(second from now())", "random()",
    "max(v)*0 + rand()", "read_csv(v)", "lpad(v, 3000000000, v)", "repeat(v, 100)",
    "array_agg(v)", "generate_series(1, 1000000000)", "unnest(v)", "regexp_like(v, v)",
    "string_agg(v)", "version()", "getenv(v)", "session_user", "pi()", "mean(v)",
)  # fmt: skip
SIGNS = (
    "length(lpad('a', 3, 'b'))", "max(v) -- x", "max(v) /* x */", "max(v); drop table x",
    "max(v)::int", "cast(max(v) as decimal(38,38))", "v[1]", "max(t.v)", "max(`v`)", "$1", "?",
    "max(v) ^ 2", "max(v) || 'x'", "max(v\u200b)", "m\u0430x(v)", "max(\uff56)", "max(v)\x00",
    "max(v)\x1b[2J", 'max("v" || "w")', 'max("v\nw")', "0x10 + max(v)", "1_0 + max(v)",
    "1e999*max(v)",     "max(v) like 'a'", "max(v) ~ 'a'", "{v}", "", "   ", "max(v",
)  # fmt: skip
FIT_NOWHERE = (
    "v", "3", "v + max(v)", "max(v - avg(v))", "max(avg(v))", "sum(1)", "max(v) and 3",
    "not max(v)", "max(v) > 2 > 1",
    "sum(v, w)", "count()", "round(max(v), w)", "round(max(v), 99)", "max(u)",
    "quantile_cont(v, 2)", "quantile_cont(v, max(v))", "case when v > 1 then max(v) end",
    "case max(v) end", "max(v) not 3", "(v > 1) + 1", "max(v) in (v)",
)  # fmt: skip


@pytest.mark.parametrize("sql", (*QUERIES, *FUNCTIONS_OF_ELSEWHERE, *SIGNS, *FIT_NOWHERE))
def test_what_the_language_does_not_name_is_refused(sql):
    with pytest.raises(UsageError):
        window_expression(sql, ["v", "w"])


def test_an_expression_per_row_is_told_to_aggregate():
    with pytest.raises(UsageError, match="expected one number per window, got one per row; aggr"):
        window_expression("v + 1", ["v"])


def test_a_column_that_is_no_numeric_field_is_named():
    with pytest.raises(
        UsageError, match="expected one of the numeric fields, got V; choose one of v"
    ):
        window_expression("max(V)", ["v"])


@pytest.mark.parametrize(
    "sql",
    (
        "max(v)" + " + max(v)" * 140_000,
        "(" * 2_000 + "max(v)" + ")" * 2_000,
        "not " * 1_000 + "max(v) > 1",
        "- " * 2_000 + "max(v)",
        "max(v) + " * 400 + "1",
        "nullif(" * 25 + "max(v)" + ", 1)" * 25,
        "case " * 500,
        "case when max(v) > 1 then " * 31 + "1" + " end" * 31,
    ),
    ids=["long", "brackets", "nots", "signs", "sums", "doubled", "cases", "nested cases"],
)
def test_an_expression_is_bounded_in_length_depth_and_parts(sql):
    with pytest.raises(UsageError, match=r"at most|a number, a column"):
        window_expression(sql, ["v"])


def test_nothing_of_an_expression_is_read_by_a_sql_engine(monkeypatch):
    monkeypatch.setattr(pl, "sql_expr", pytest.fail)
    assert value("avg(case when v < 1 then 1 else 0 end)") == [1 / 3, 0.0, 1.0]


# --- what it means --------------------------------------------------------------------------------

NUMBERS = st.sampled_from(["0", "1", "2.5", ".5", "3e1", "10"])


def per_row(depth=2):
    leaves = st.one_of(NUMBERS, st.sampled_from(["v", '"w"', "v", "w"]))
    return leaves if depth == 0 else number_of(per_row(depth - 1), leaves)


def number_of(inner, leaves):
    signs = st.sampled_from("+-*")
    one = st.sampled_from(["abs", "ceil", "floor", "SIGN", "atan", "degrees", "radians"])
    many = st.sampled_from(["coalesce", "greatest", "least", "nullif"])
    return st.one_of(
        leaves,
        st.builds("{} {} {}".format, inner, signs, inner),
        st.builds("({} {} {})".format, inner, signs, inner),
        st.builds("-{}".format, inner),
        st.builds("{} / (abs({}) + 1) / 3".format, inner, inner),  # 0/0 is missing, not NaN
        st.builds("{}({})".format, one, inner),
        st.builds("{}({}, {})".format, many, inner, inner),
        st.builds("case when {} then {} else {} end".format, condition_of(inner), inner, inner),
        st.builds("case {} when {} then {} end".format, inner, NUMBERS, inner),
    )


def condition_of(inner):
    compares = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
    plain = st.one_of(
        st.builds("{} {} {}".format, inner, compares, inner),
        st.builds("{} between {} and {}".format, inner, inner, inner),
        st.builds("{} not between {} and {}".format, inner, NUMBERS, NUMBERS),
        st.builds("{} in ({}, {})".format, inner, NUMBERS, NUMBERS),
        st.builds("{} is not null".format, inner),
    )
    return st.one_of(
        plain,
        st.builds("not {}".format, plain),
        st.builds("{} AND {} or {}".format, plain, plain, plain),
        st.builds("not ({} or {})".format, plain, plain),
    )


def aggregates():
    one = st.sampled_from(["avg", "sum", "min", "MAX", "first", "last", "median", "stddev", "var"])
    row = st.builds("0*v + ({})".format, per_row())
    return st.one_of(
        st.builds("{}({})".format, one, row),
        st.builds("{}({})".format, st.sampled_from(["count", "count"]), row),
        st.builds("quantile_cont({}, 0.25)".format, row),
        st.builds("quantile_disc({}, 0.75)".format, row),
        st.just("count(distinct v)"),
        st.just("count(*)"),
        st.builds("sum({})".format, condition_of(row)),
    )


def expressions():
    inner = st.one_of(aggregates(), NUMBERS)
    return st.one_of(
        aggregates(),
        st.builds("{} + ({})".format, aggregates(), number_of(inner, inner)),
        st.builds("{} = {} or {}".format, aggregates(), inner, condition_of(aggregates())),
    )


def is_far_from(x, y):
    if x is None or y is None or math.isinf(x) or math.isinf(y):
        return x != y
    return abs(x - y) > 1e-9 * max(1.0, abs(x), abs(y))


@settings(max_examples=300, deadline=None)
@given(expressions())
def test_what_is_accepted_means_what_sql_of_polars_makes_of_it(sql):
    try:
        mine = window_expression(sql, ["v", "w"]).expr
    except UsageError:
        return  # too deep, or a part is constant: refused is safe
    try:
        # Without an exponent it reads 2.5 as a decimal, and divides that to six places.
        theirs = evaluated(pl.sql_expr(re.sub(r"(?<![\w.])\d*\.\d+(?!\w)", r"\g<0>e0", sql)))
    except pl.exceptions.PolarsError:
        return  # it types some literals otherwise
    if any(x is not None and math.isinf(x) for x in theirs):
        return
    pairs = zip(evaluated(mine), theirs, strict=True)
    assert not any(is_far_from(*pair) for pair in pairs), (sql, theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_one_that_sql_of_polars_knows(name):
    arguments = {"atan2": "v, w", "pow": "abs(v), 2", "nullif": "v, 3", "quantile_cont": "v, 0.5",
                 "quantile_disc": "v, 0.5", "round": "v, 1"}  # fmt: skip
    inner = f"{name}({arguments.get(name, 'abs(v) / 10')})"
    is_aggregate = name.startswith("quantile") or name in (
        "avg", "sum", "min", "max", "first", "last", "median", "stddev", "variance", "count",
    )  # fmt: skip
    sql = inner if is_aggregate else f"max({inner})"
    assert value(sql) == pytest.approx(evaluated(pl.sql_expr(sql)))


# --- missing values -------------------------------------------------------------------------------


def test_a_missing_value_is_left_out_of_an_aggregate():
    assert value("avg(v)", GAPS) == [1.0, None]


def test_a_missing_value_is_not_above_a_threshold():
    assert value("sum(case when v > 0.5 then 1 else 0 end)", GAPS) == [1.0, 0.0]


def test_a_missing_value_is_null():
    assert value("sum(case when v is null then 1 else 0 end)", GAPS) == [1.0, 1.0]


def test_the_root_of_a_negative_number_is_missing_and_above_nothing():
    assert value("sqrt(0 - max(w) - 1) > 3") == [None, None, None]


def test_rows_are_counted_whether_their_values_are_missing_or_not():
    assert value("count(*) - count(v)", GAPS) == [1.0, 1.0]


def test_it_says_which_columns_it_reads():
    assert window_expression('max("w") + 0 * count(v)', ["u", "v", "w"]).columns == ("v", "w")
