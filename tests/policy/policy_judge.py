"""The judge: what AWS would answer to a request, by a simulator that knows nothing of us."""

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
    """What someone asks of S3 or KMS.

    Attributes:
        principal: An ARN, or None for nobody in particular.
        action: An IAM action.
        resource: An ARN.
        context: What conditions look at.
        own_policy: What the principal's own account lets it do.
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
    """The verdicts on requests under policies: Allowed, ImplicitlyDenied, ExplicitlyDenied.

    A request that AWS could not receive, or a condition on what it would not send, is
    an error of the test.
    """
    simulations = [request.to_simulation(policy) for policy, request in cases]
    done = subprocess.run(
        ["node", str(HERE / "judge.cjs")],
        input=json.dumps(simulations),
        cwd=_installed(),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    verdicts: list[str] = json.loads(done.stdout)
    assert len(verdicts) == len(simulations)
    return verdicts


@functools.cache
def _installed() -> Path:
    """The folder in which the simulator is installed, once for each version of it."""
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
