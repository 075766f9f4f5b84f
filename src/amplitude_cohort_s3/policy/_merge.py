"""Merging statements into an existing bucket policy."""

import json
from collections.abc import Mapping
from typing import Any, cast

from attrs import frozen

from ..errors import PolicyFormatError

MAX_POLICY_BYTES = 20 * 1024
"""The largest policy that S3 takes:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html. Whether S3 counts
spaces is not said; we send none."""


@frozen(kw_only=True)
class PolicyChange:
    """What merging does to a policy, by the ids of our statements.

    Attributes:
        before: The policy as it was; None where there was none.
        after: The policy as it becomes.
        added: Ids that are new.
        replaced: Ids whose statements change.
        removed: Ids that an earlier policy for the same path and purpose had.
    """

    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.replaced or self.removed)

    def __repr__(self) -> str:
        lines = [
            f"  {sign} {sid}"
            for sign, sids in (("+", self.added), ("~", self.replaced), ("-", self.removed))
            for sid in sids
        ]
        return "\n".join(["PolicyChange: " + ("" if lines else "nothing to change"), *lines])


def compact_json(policy: Mapping[str, Any]) -> str:
    """A policy in the fewest bytes, as it is sent and measured."""
    return json.dumps(policy, separators=(",", ":"))


def parse_policy(policy: Mapping[str, Any] | str | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    parsed: object = policy
    if isinstance(policy, str):
        try:
            parsed = json.loads(policy)
        except ValueError:
            raise PolicyFormatError("it is not JSON") from None
    if not isinstance(parsed, Mapping):
        raise PolicyFormatError("it is not a JSON object")
    return dict(cast("Mapping[str, Any]", parsed))


def merged_statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statements of a policy, which may be a single one."""
    found: Any = policy.get("Statement", [])
    listed = list[Any]()
    if isinstance(found, Mapping):
        listed.append(found)
    elif isinstance(found, list):
        listed += found
    else:
        raise PolicyFormatError("its Statement is neither an object nor a list")
    if not all(isinstance(statement, Mapping) for statement in listed):
        raise PolicyFormatError("one of its statements is not an object")
    return listed


def normal(value: Any) -> Any:
    """A statement regardless of order, and of whether one value stands in a list."""
    if isinstance(value, Mapping):
        return {k: normal(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, str):
        return (value,)
    return tuple(sorted(map(str, value)))
