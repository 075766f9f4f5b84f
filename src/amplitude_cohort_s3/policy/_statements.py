"""The statements of a bucket policy."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from attrs import field, frozen

EVERYONE = ("*",)


SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.(?:com(?:\.cn)?|eu)")


@frozen
class Condition:
    """One condition of a statement.

    Attributes:
        operator: Such as ``StringLike``.
        key: Such as ``s3:prefix``.
        values: Of which one must match.
    """

    operator: str
    key: str
    values: tuple[str, ...] = field(converter=tuple[str, ...])

    def __str__(self) -> str:
        return f"{self.key} {self.operator} {' or '.join(map(repr, self.values))}"


@frozen(kw_only=True)
class PolicyStatement:
    """One statement of a policy.

    Attributes:
        sid: Its id within the policy.
        effect: ``"Allow"`` or ``"Deny"``.
        principals: ARNs and services; ``("*",)`` is everyone.
        actions: Such as ``s3:GetObject``.
        resources: ARNs; ``*`` and ``?`` are wildcards.
        conditions: All of them must hold.
    """

    sid: str
    effect: Literal["Allow", "Deny"]
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The statement as JSON values."""
        services = [p for p in self.principals if SERVICE.fullmatch(p)]
        arns = [p for p in self.principals if p not in services]
        principal: Any = "*"
        if self.principals != EVERYONE:
            principal = {
                kind: plain(names)
                for kind, names in (("AWS", arns), ("Service", services))
                if names
            }
        statement: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": self.effect,
            "Principal": principal,
            "Action": plain(self.actions),
            "Resource": plain(self.resources),
        }
        conditions = dict[str, dict[str, Any]]()
        for condition in self.conditions:
            conditions.setdefault(condition.operator, {})[condition.key] = plain(condition.values)
        if conditions:
            statement["Condition"] = conditions
        return statement

    def __str__(self) -> str:
        """The statement as one line."""
        who = "everyone" if self.principals == EVERYONE else ", ".join(self.principals)
        line = f"{self.effect} {who}: {', '.join(self.actions)} on {', '.join(self.resources)}"
        if self.conditions:
            line += f" if {' and '.join(map(str, self.conditions))}"
        return line


def plain(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)
