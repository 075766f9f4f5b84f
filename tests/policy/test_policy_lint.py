"""Every statement has only words that AWS knows, by a linter and a table of actions and keys."""

import functools
import itertools
import warnings
from collections.abc import Iterator

import pytest
from policy_sentry.querying.actions import get_action_data

from amplitude_cohort_s3.policy._statements import PolicyStatement
from amplitude_cohort_s3.policy.bucket_policy import BucketPolicy, bucket_policy
from amplitude_cohort_s3.settings.destination import Destination

with warnings.catch_warnings():
    # It leaves its tables open when it is imported.
    warnings.simplefilter("ignore", ResourceWarning)
    from parliament import analyze_policy_string

ROLE = "arn:aws:iam::111122223333:role/etl"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OPTIONS = ("create_only", "organisation", "kms_key", "legacy_acl")


def policies() -> Iterator[BucketPolicy]:
    """Yield a policy for every purpose and all options that it accepts."""
    for path, on in itertools.product(
        ("", "cohorts", "with space/ünïcode"), itertools.product((False, True), repeat=4)
    ):
        chosen = dict(zip(OPTIONS, on, strict=True))
        yield from (
            bucket_policy(
                Destination(name="d", bucket="my-bucket", region="us-east-1", path=path),
                principal=ROLE,
                purpose=purpose,
                create_only=chosen["create_only"] and purpose == "write",
                legacy_acl=chosen["legacy_acl"] and purpose in ("write", "amplitude"),
                organisation="o-a1b2c3d4e5" if chosen["organisation"] else None,
                kms_key=KEY if chosen["kms_key"] and purpose != "maintain" else None,
            )
            for purpose in ("write", "amplitude", "read", "maintain")
        )


@functools.cache
def all_policies() -> tuple[BucketPolicy, ...]:
    return tuple(dict.fromkeys(policies()))


def test_the_linter_finds_nothing():
    for policy in all_policies():
        findings = analyze_policy_string(policy.to_json(), ignore_private_auditors=True).findings
        assert not findings, (policy, findings)


def test_the_linter_finds_a_misspelled_action():
    broken = all_policies()[0].to_json().replace("s3:GetObject", "s3:GetObjekt")
    assert analyze_policy_string(broken, ignore_private_auditors=True).findings


@functools.cache
def known_keys(action: str) -> frozenset[str]:
    service, _, name = action.partition(":")
    rows = get_action_data(service, name)[service]
    return frozenset(key for row in rows for key in row["condition_keys"])


def statements() -> Iterator[PolicyStatement]:
    for policy in all_policies():
        yield from policy.statements
        if policy.key_statement is not None:
            yield policy.key_statement


def test_each_condition_key_is_valid_for_its_action():
    checked = set[str]()
    for statement in statements():
        for action, condition in itertools.product(statement.actions, statement.conditions):
            if condition.key.startswith("aws:") or action == "s3:*":
                # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
                assert condition.key in {
                    "aws:PrincipalOrgID",
                    "aws:SecureTransport",
                }
                continue
            key = condition.key
            if key.startswith("kms:EncryptionContext:"):
                key = "kms:EncryptionContext:${EncryptionContextKey}"
            assert key in known_keys(action), (action, condition)
            checked.add(key)
    assert len(checked) == 8


@pytest.mark.parametrize("policy", [max(all_policies(), key=lambda p: len(p.to_json()))])
def test_the_longest_policy_leaves_space_for_other_statements(policy: BucketPolicy):
    assert len(policy.to_json()) < 5000
