"""The judge: AWS's answers to requests, by an independent simulator of IAM."""

import atexit
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

HERE = Path(__file__).parent

OWNER = "999988887777"
"""The account of the bucket."""

ALLOW_ALL_OF_S3 = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


@frozen(kw_only=True)
class Request:
    """A request to S3 or KMS.

    Attributes:
        principal: The ARN of the sender, or None for an anonymous request.
        action: The IAM action.
        resource: The resource's ARN.
        context: The values of condition keys.
        own_policy: The statements of the principal's own account.
    """

    principal: str | None
    action: str
    resource: str
    context: Mapping[str, str] = field(factory=dict[str, str])
    own_policy: Sequence[Mapping[str, Any]] = ()

    def to_simulation(self, policy: Mapping[str, Any]) -> dict[str, Any]:
        own = {"Version": "2012-10-17", "Statement": list(self.own_policy)}
        return {
            "request": {
                "principal": self.principal,
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": OWNER},
                "contextVariables": dict(self.context),
            },
            "identityPolicies": [{"name": "own", "policy": own}] if self.own_policy else [],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            "resourcePolicy": policy,
        }


def judge(cases: Iterable[tuple[Mapping[str, Any], Request]]) -> list[str]:
    """Return the verdicts on requests: Allowed, ImplicitlyDenied or ExplicitlyDenied.

    A request that is impossible in AWS, or a condition on a key that the action does not have,
    is an error of the test.
    """
    simulations = [request.to_simulation(policy) for policy, request in cases]
    node = _node()
    assert node.stdin is not None
    assert node.stdout is not None
    node.stdin.write(json.dumps(simulations) + "\n")
    node.stdin.flush()
    verdicts: list[str] = json.loads(node.stdout.readline())
    assert len(verdicts) == len(simulations)
    return verdicts


@functools.cache
def _node() -> subprocess.Popen[str]:
    """Start the simulator once: it takes longer to start than to judge the requests of a test."""
    node = subprocess.Popen(
        ["node", str(HERE / "judge.cjs")],
        cwd=_installed(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    atexit.register(node.communicate)  # Closes its input, and waits for its end.
    return node


@functools.cache
def _installed() -> Path:
    """Return the folder of the simulator; install each version of it once."""
    if shutil.which("npm") is None:
        reason = "the policy's judge needs node and npm"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    package = HERE / "package.json"
    version = hashlib.sha256(package.read_bytes()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"amplitude-cohort-s3-judge-{version}"
    if not folder.exists():
        making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}-"))
        shutil.copy(package, making)
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=making,
            capture_output=True,
            check=True,
            timeout=300,
        )
        try:
            making.rename(folder)
        except OSError:
            # Another process was faster.
            shutil.rmtree(making)
    return folder
