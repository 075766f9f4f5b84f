"""The invariants hold in every state of the model, and each rule is needed for them."""

from collections.abc import Callable
from typing import Any

import pytest
from protocol_model import RULES, InvariantError, Model

WORLDS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 2), {"aborts": 4, "foreign_files": 1}),
    ((1, 1), {"aborts": 4, "foreign_files": 1, "prunings": 1}),
    ((1, 2), {"aborts": 2, "prunings": 1, "readers": 1}),
    ((1, 2, 3), {"aborts": 1}),
    ((1, 1, 2), {"aborts": 1}),
    ((1, 2, 3), {"prunings": 1}),
    ((1, 2), {"refusals": 2, "aborts": 1}),
    ((1, 2), {"others": ("abandon",), "aborts": 1}),
    ((1, 1), {"others": ("abandon",), "refusals": 1}),
    ((1, 2), {"others": ("forget",), "aborts": 1}),
    ((1, 2), {"others": ("forget", "abandon")}),
]

BROKEN_BY: dict[str, str] = {
    "recover before planning": "an older record has no outcome",
    "create before publish": "a file is visible without a record",
    "create once": "a published file is not visible",
    "unknown is not lost": "a sync is void though nothing disturbed it",
    "losers discard": "the slower writer left a staged file",
    "same head": "a record continues another head",
    "publish once": "a visible object changed",
    "existing last": "existing is visible without a companion",
    "taken is lost": "the next sync does not complete",
    "discard before void": "a void sync can be published",
    "discard revokes": "existing of a void sync is visible",
    "look again": "existing of a void sync is visible",
    "one outcome key": "a sync is published and void",
    "obey the outcome": "a writer returns another outcome",
    "data, then log": "a reader finds a sync that is not in the log",
    "refused is lost": "the next sync does not complete",
    "abandon revokes": "a void sync can be published",
    "settled search": "an amendment does not cover a sync before it",
}


@pytest.mark.parametrize(("times", "trouble"), WORLDS, ids=str)
def test_no_state_violates_an_invariant(
    times: tuple[int, ...],
    trouble: dict[str, Any],
    record_property: Callable[[str, object], None],
) -> None:
    record_property("cases", Model(times, **trouble).explore())


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_needed(rule: str) -> None:
    trouble = {
        "one outcome key": {"prunings": 1},
        "obey the outcome": {"prunings": 1},
        "data, then log": {"readers": 1},
        "refused is lost": {"refusals": 1},
        "abandon revokes": {"others": ("abandon",)},
        "settled search": {"others": ("forget",)},
    }.get(rule, {"aborts": 1, "foreign_files": 1})
    with pytest.raises(InvariantError, match=BROKEN_BY[rule]):
        Model((1, 2), without=rule, **trouble).explore()
