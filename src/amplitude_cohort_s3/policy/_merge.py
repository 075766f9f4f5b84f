"""Merging statements into an existing bucket policy."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from attrs import frozen

from ..errors import InvalidPolicyError
from ._statements import PolicyStatement

_VERSION = "2012-10-17"
_OLD_VERSION = "2008-10-17"

MAX_POLICY_BYTES = 20 * 1024
"""The size of the largest policy that S3 accepts:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html. The page does not
state whether spaces count, so policies are sent without spaces."""


@frozen(kw_only=True)
class PolicyChange:
    """The effect of a merge on a policy.

    Attributes:
        before: The policy before the merge, or None if there was none.
        after: The policy after the merge.
        added: The ids of new statements.
        replaced: The ids of statements whose content changes.
        removed: The ids of statements that an earlier policy for the same path and purpose had,
            and that the new one does not have.
    """

    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """True if any statement is added, replaced or removed."""
        return bool(self.added or self.replaced or self.removed)

    def __repr__(self) -> str:
        lines = [
            f"  {sign} {sid}"
            for sign, sids in (("+", self.added), ("~", self.replaced), ("-", self.removed))
            for sid in sids
        ]
        return "\n".join(["PolicyChange: " + ("" if lines else "nothing to change"), *lines])


def merge_statements(
    policy: Mapping[str, Any] | str | None, statements: Iterable[PolicyStatement], sid_prefix: str
) -> PolicyChange:
    """Merge statements into a policy, replacing those whose ids begin with the prefix.

    Args:
        policy: The policy as JSON text or parsed, or None if the bucket has no policy.
        statements: The statements to merge.
        sid_prefix: The prefix of the ids of the statements that are replaced.

    Raises:
        InvalidPolicyError: The policy is malformed, its version is too old, or the result is
            larger than S3 accepts.
    """
    before = _parse(policy)
    ours = {statement.sid: statement.to_dict() for statement in statements}
    _check_version(before, ours)
    after: dict[str, Any] = {"Version": _VERSION} if before is None else dict(before)
    old, others = dict[str, Any](), list[Any]()
    for statement in _statements_of(after):
        sid = str(statement.get("Sid", ""))
        if sid.startswith(sid_prefix):
            old[sid] = statement
        else:
            others.append(statement)
    change = PolicyChange(
        before=before,
        after=after,
        added=tuple(sid for sid in ours if sid not in old),
        replaced=tuple(
            sid for sid in ours if sid in old and _unordered(old[sid]) != _unordered(ours[sid])
        ),
        removed=tuple(sid for sid in old if sid not in ours),
    )
    if change.changed or before is None:
        after["Statement"] = [*others, *ours.values()]
    size = len(compact_json(after))
    if size > MAX_POLICY_BYTES:
        raise InvalidPolicyError(
            f"it would have {size:,} bytes, but S3 accepts at most {MAX_POLICY_BYTES:,}",
            "Remove statements that are no longer needed, or move readers to access points, "
            "which have policies of their own",
        )
    return change


def compact_json(policy: Mapping[str, Any]) -> str:
    """Return a policy as the shortest JSON text, which is sent and whose size is checked."""
    return json.dumps(policy, separators=(",", ":"))


def _parse(policy: Mapping[str, Any] | str | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    parsed: object = policy
    if isinstance(policy, str):
        try:
            parsed = json.loads(policy)
        except ValueError:
            raise InvalidPolicyError("it is not JSON") from None
    if not isinstance(parsed, Mapping):
        raise InvalidPolicyError("it is not a JSON object")
    return dict(cast("Mapping[str, Any]", parsed))


def _check_version(before: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> None:
    """Raise if the statements use policy variables, but the policy's version has no variables."""
    version = _VERSION if before is None else before.get("Version", _OLD_VERSION)
    if version not in (None, _VERSION) and "${" in json.dumps(ours):
        raise InvalidPolicyError(
            f"its version {version} has no policy variables, which a path with *, ? or $ needs",
            f'Set its Version to "{_VERSION}"',
        )


def _statements_of(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: Any = policy.get("Statement", [])
    if isinstance(found, Mapping):
        return [cast("Mapping[str, Any]", found)]
    if not isinstance(found, list):
        raise InvalidPolicyError("its Statement is neither an object nor a list")
    listed = [*cast("Iterable[Any]", found)]
    if not all(isinstance(statement, Mapping) for statement in listed):
        raise InvalidPolicyError("one of its statements is not an object")
    return listed


def _unordered(value: Any) -> Any:
    """Return a comparable form of a statement, in which "a" is ["a"] and lists are sorted."""
    if isinstance(value, Mapping):
        return {k: _unordered(v) for k, v in cast("Mapping[str, Any]", value).items()}
    return sorted(map(str, cast("Iterable[Any]", value) if isinstance(value, list) else [value]))
