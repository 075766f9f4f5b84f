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
        operator: An operator such as ``StringLike``.
        key: A key such as ``s3:prefix``.
        values: The values, of which one must match.
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
        sid: The statement's id within the policy.
        effect: ``"Allow"`` or ``"Deny"``.
        principals: ARNs and services; ``("*",)`` is everyone.
        actions: Actions such as ``s3:GetObject``.
        resources: ARNs in which ``*`` and ``?`` are wildcards.
        conditions: The conditions, all of which must hold.
    """

    sid: str
    effect: Literal["Allow", "Deny"]
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the statement as JSON values."""
        principal: Any = "*"
        if self.principals != EVERYONE:
            services = [p for p in self.principals if SERVICE.fullmatch(p)]
            arns = [p for p in self.principals if p not in services]
            kinds = (("AWS", arns), ("Service", services))
            principal = {kind: _one_or_list(names) for kind, names in kinds if names}
        statement: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": self.effect,
            "Principal": principal,
            "Action": _one_or_list(self.actions),
            "Resource": _one_or_list(self.resources),
        }
        conditions = dict[str, dict[str, Any]]()
        for condition in self.conditions:
            of_operator = conditions.setdefault(condition.operator, {})
            of_operator[condition.key] = _one_or_list(condition.values)
        if conditions:
            statement["Condition"] = conditions
        return statement

    def __str__(self) -> str:
        """Return the statement as one line."""
        principals = "everyone" if self.principals == EVERYONE else ", ".join(self.principals)
        line = f"{self.effect} {principals}: {', '.join(self.actions)}"
        line += f" on {', '.join(self.resources)}"
        if self.conditions:
            line += f" if {' and '.join(map(str, self.conditions))}"
        return line


def _one_or_list(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)
