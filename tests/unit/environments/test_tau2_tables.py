"""Copy-on-write databases and bounded arithmetic, held against tau2's own."""

import copy
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fission_grpo.environments.tau2.arithmetic import TOO_LARGE, check_expression
from fission_grpo.environments.tau2.package import package_module
from fission_grpo.environments.tau2.tables import SharedDatabase, changes_of, database_hash, equal

retail = package_module("domains.retail.environment")
DATABASE = retail.get_environment().tools.db
SHARED = SharedDatabase(DATABASE)
OFFICIAL_HASH = DATABASE.get_hash()
USERS = sorted(DATABASE.users)[:20]
ORDERS = sorted(DATABASE.orders)[:20]

Edit = tuple[str, str, str]
"""What is done, to which record, with what."""
look = st.tuples(st.just("look"), st.sampled_from(USERS), st.just(""))
rename = st.tuples(st.just("rename"), st.sampled_from(USERS), st.text(max_size=5))
cancel = st.tuples(st.just("cancel"), st.sampled_from(ORDERS), st.just("cancelled"))
remove = st.tuples(st.just("remove"), st.sampled_from(ORDERS), st.just(""))
add = st.tuples(st.just("add"), st.text(min_size=1, max_size=8), st.sampled_from(ORDERS))
edits = st.lists(st.one_of(look, rename, cancel, remove, add), max_size=6)


def apply(database: Any, edit: Edit) -> None:
    """What tools do to a database, and more than tau2's do."""
    kind, key, value = edit
    users, orders = database.users, database.orders
    if kind == "look":
        assert users[key] is users.get(key)
    elif kind == "rename":
        users[key].name.first_name = value
    elif kind == "cancel" and key in orders:
        orders[key].status = value
    elif kind == "remove":
        orders.pop(key, None)
    elif kind == "add" and value in orders:
        orders[key] = copy.deepcopy(orders[value])


@settings(max_examples=25)
@given(edits, edits)
def test_copies_are_real_databases_that_share_nothing_which_changes(first: list[Edit], second: list[Edit]) -> None:
    ours, theirs, restored = SHARED.copy(), SHARED.copy(), SHARED.copy()
    for edit in first:
        apply(ours, edit)
    for edit in second:
        apply(theirs, edit)
    restored = SHARED.with_changes(copy.deepcopy(changes_of(ours)))
    assert database_hash(ours) == ours.get_hash() == database_hash(restored)
    assert equal(ours, theirs) == (database_hash(ours) == database_hash(theirs))
    assert equal(restored, ours)
    assert database_hash(SHARED.copy()) == OFFICIAL_HASH


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "2**99999",
        "(9**999)**999",
        "9" * 5000,
        "1*" * 900 + "1",
        "(2**9000)*(2**9000)",
        "1(9**9**9)",
        "-(9**9**9)",
    ],
)
def test_endless_arithmetic_is_refused_at_once(expression: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=TOO_LARGE):
        check_expression(expression)
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize(
    "expression",
    [
        "2 + 2",
        "1.05**30",
        "1.0005**365 * 12",
        "100 * (1 - 0.15) / 3",
        "2**0.5",
        "10**300 // 7",
        "2**-3",
        "1 +",
        "",
        "((",
        "1/0",
    ],
)
def test_what_tau2_answers_at_once_is_left_to_it(expression: str) -> None:
    check_expression(expression)


@given(st.text(alphabet="0123456789+-*/(). ", max_size=40))
def test_what_passes_is_calculated_at_once(expression: str) -> None:
    calculate = retail.RetailTools(None).calculate
    try:
        check_expression(expression)
    except ValueError:
        return
    started = time.process_time()
    try:
        calculate(expression)
    except Exception as error:
        assert not isinstance(error, MemoryError)
    assert time.process_time() - started < 0.5
