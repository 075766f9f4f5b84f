"""The requests that the policies allow and deny, according to the judge."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import evolve
from policy_calls import ONLY_NEW, Call, expected_calls
from policy_judge import ALLOW_ALL_OF_S3, OWNER, Request, judge
from policy_sentry.querying.actions import get_action_data
from policy_sentry.querying.all import get_all_actions

from amplitude_cohort_s3.policy._checks import partition_of
from amplitude_cohort_s3.policy.bucket_policy import AMPLITUDE_ACCOUNTS, bucket_policy
from amplitude_cohort_s3.policy.purposes import PURPOSES, Purpose
from amplitude_cohort_s3.settings.destination import Destination

PATHS = (
    "",
    "cohorts",
    "a/b/c/d",
    "with space/ünïcode ☃/日本語",
    "we*ird?/$",
    "100%/${aws:username}",
    "p+q=r&s,t;u:v@w",
)
REGIONS = ("us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1")
partition = functools.cache(partition_of)
SECURE = {"aws:SecureTransport": "true"}
PLAIN = {"aws:SecureTransport": "false"}


def destination(path: str = "cohorts", region: str = "us-east-1") -> Destination:
    return Destination(name="d", bucket="my-bucket", region=region, path=path)


def role(region: str = "us-east-1", name: str = "etl", account: str = "111122223333") -> str:
    return f"arn:{partition(region)}:iam::{account}:role/{name}"


def bucket_arn(region: str = "us-east-1") -> str:
    return f"arn:{partition(region)}:s3:::my-bucket"


def request_of(
    call: Call,
    principal: str | None,
    region: str = "us-east-1",
    context: Mapping[str, str] = SECURE,
) -> Request:
    """Return the call as a request of a principal whose own account allows everything."""
    return Request(
        principal=principal,
        action=call.action,
        resource=call.resource(bucket_arn(region)),
        context={**call.context, **context},
        own_policy=() if principal is None else (ALLOW_ALL_OF_S3,),
    )


def verdicts(policy: Mapping[str, Any], requests: list[Request]) -> list[str]:
    return judge((policy, request) for request in requests)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("create_only", [False, True])
def test_every_request_of_a_purpose_is_allowed(path: str, region: str, *, create_only: bool):
    calls = expected_calls(path)
    cases = [
        (policy.to_dict(), request_of(call, role(region), region))
        for purpose in PURPOSES
        for policy in [
            bucket_policy(
                destination(path, region),
                principal=role(region),
                purpose=purpose,
                create_only=create_only and purpose == "write",
            )
        ]
        for call in calls[purpose]
    ]
    assert set(judge(cases)) == {"Allowed"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_requests_outside_the_path_are_denied(path: str, purpose: Purpose):
    if not path:
        pytest.skip("the empty path is the whole bucket")
    folder, last = path.rpartition("/")[0], path.rpartition("/")[2]
    up = f"{folder}/" if folder else ""
    outside = [
        f"{up}{last}-evil/x",
        f"{up}{last}x/x",
        f"{up}{last}",
        f"{up}{last[:-1]}/x",
        f"{up}{last.swapcase()}_/x",
        f"other/{path}/x",
        f"x{path}/x",
        "x",
        "_syncs/.probe",
    ]
    if re.search(r"[*?$]", path):
        # These would be allowed if *, ? or $ in the path were a wildcard or began a variable.
        # The others are left out: the judge reads * and ? in a resource as wildcards.
        outside = [re.sub(r"[*?]", "X", path.replace("${aws:username}", "etl")) + "/x"]
    policy = bucket_policy(destination(path), principal=role(), purpose=purpose).to_dict()
    requests = list[Request]()
    for call in expected_calls(path)[purpose]:
        if call.key is not None:
            requests += [request_of(evolve(call, key=key), role()) for key in outside]
        elif call.action == "s3:ListBucket":
            prefixes = [None, "", up, last[:1], path, *outside]
            prefixes = [p for p in prefixes if p is None or not p.startswith(f"{path}/")]
            requests += [request_of(evolve(call, prefix=prefix), role()) for prefix in prefixes]
    for request, verdict in zip(requests, verdicts(policy, requests), strict=True):
        assert verdict == "ImplicitlyDenied", request


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("path", ["", "cohorts"])
def test_requests_of_other_principals_are_denied(path: str, purpose: Purpose):
    policy = bucket_policy(destination(path), principal=role(), purpose=purpose).to_dict()
    others = [
        role(name="etl2"),
        role(name="other"),
        role(account="444455556666"),
        "arn:aws:iam::111122223333:user/etl",
        "arn:aws:iam::111122223333:root",
        None,
    ]
    requests = [
        request_of(call, other) for call in expected_calls(path)[purpose] for other in others
    ]
    for request, verdict in zip(requests, verdicts(policy, requests), strict=True):
        assert verdict == "ImplicitlyDenied", request


def everything_in_s3(key: str) -> Iterator[tuple[str, str]]:
    """Yield every S3 action with each type of resource it has: the object, the bucket, others.

    For an action that has a resource, the table also has the resource ``*``.
    """
    for action in sorted(set(get_all_actions())):
        service, _, name = action.partition(":")
        if service != "s3":
            continue
        formats = {row["resource_arn_format"] for row in get_action_data("s3", name)["s3"]}
        for resource in formats:
            known = {"Partition": "aws", "BucketName": "my-bucket", "ObjectName": key}
            known |= {"Region": "us-east-1", "Account": OWNER}
            yield (
                f"s3:{name}",
                re.sub(r"\$\{(\w+)\}", lambda m, known=known: known.get(m[1], "x"), resource),
            )


@pytest.mark.parametrize("path", ["", "cohorts"])
@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_other_action_of_s3_is_denied(path: str, purpose: Purpose):
    sent = {(c.action, c.resource(bucket_arn())) for c in expected_calls(path)[purpose]}
    key = next(c.key for c in expected_calls(path)[purpose] if c.key)
    context = {"s3:prefix": f"{path}/" if path else "", **SECURE}
    policy = bucket_policy(destination(path), principal=role(), purpose=purpose).to_dict()
    requests = [
        Request(
            principal=role(),
            action=action,
            resource=resource,
            context=context if action.startswith("s3:ListBucket") else SECURE,
            own_policy=(ALLOW_ALL_OF_S3,),
        )
        for action, resource in everything_in_s3(key)
    ]
    allowed, judged = set[tuple[str, str]](), set[str]()
    for request, verdict in zip(requests, verdicts(policy, requests), strict=True):
        if verdict.startswith("Allowed") and request.resource != "*":
            allowed.add((request.action, request.resource))
        if not verdict.startswith("Error"):
            judged.add(request.action)
    assert {action for action, _ in allowed} == {action for action, _ in sent}
    assert allowed <= sent
    # The judge reports an error for a resource of the wrong type; every action was judged once.
    assert judged == {action for action, _ in everything_in_s3(key)}


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("path", ["", "cohorts"])
def test_every_request_without_tls_is_denied(path: str, purpose: Purpose):
    policy = bucket_policy(destination(path), principal=role(), purpose=purpose).to_dict()
    calls = list(expected_calls(path)[purpose])
    owner = f"arn:aws:iam::{OWNER}:role/admin"
    ours = [request_of(call, role(), context=PLAIN) for call in calls]
    # The owner's own policy would allow the request, and the bucket's must override that. The
    # listing of uploads can't be limited to the path, so other principals may still send it.
    below = [c for c in calls if c.action != "s3:ListBucketMultipartUploads"]
    owners = [request_of(call, owner, context=PLAIN) for call in below]
    assert set(verdicts(policy, ours + owners)) == {"ExplicitlyDenied"}


def test_the_owner_keeps_all_permissions_with_tls():
    policy = bucket_policy(destination(), principal=role(), create_only=True).to_dict()
    owner = f"arn:aws:iam::{OWNER}:role/admin"
    requests = [request_of(call, owner) for call in expected_calls("cohorts")["write"]]
    requests += [
        evolve(requests[0], action="s3:DeleteObject", resource=f"{bucket_arn()}/cohorts/x"),
        # Outside the path everything stays allowed, even without TLS.
        request_of(Call(operation="PutObject", key="other/x"), owner, context=PLAIN),
        request_of(Call(operation="ListObjectsV2", prefix="other/"), owner, context=PLAIN),
    ]
    requests[-3] = evolve(requests[-3], context=SECURE)
    assert set(verdicts(policy, requests)) == {"Allowed"}


def test_create_only_denies_writes_without_if_none_match_to_everyone():
    policy = bucket_policy(destination(), principal=role(), create_only=True).to_dict()
    key = "cohorts/x"
    owner = f"arn:aws:iam::{OWNER}:role/admin"
    completing = [
        request_of(Call(operation=operation, key=key), who)
        for operation in ("PutObject", "CompleteMultipartUpload")
        for who in (role(), owner)
    ]
    assert set(verdicts(policy, completing)) == {"ExplicitlyDenied"}
    others = [
        request_of(Call(operation="PutObject", key=key, headers=ONLY_NEW), role()),
        request_of(Call(operation="CompleteMultipartUpload", key=key, headers=ONLY_NEW), role()),
        request_of(Call(operation="CreateMultipartUpload", key=key), role()),
        request_of(Call(operation="UploadPart", key=key), role()),
        request_of(Call(operation="PutObject", key="elsewhere"), owner),
    ]
    assert set(verdicts(policy, others)) == {"Allowed"}


@pytest.mark.parametrize("data_region", AMPLITUDE_ACCOUNTS)
def test_amplitude_can_be_an_account_or_a_role(data_region: str):
    account = AMPLITUDE_ACCOUNTS[data_region]
    one_role = role(name="s3-export/123", account=account)
    another = role(name="another", account=account)
    put = Call(operation="PutObject", key="cohorts/x")
    get = Call(operation="GetObject", key="cohorts/x")
    by_account, by_role = (
        bucket_policy(destination(), principal=principal, purpose="amplitude").to_dict()
        for principal in (account, one_role)
    )
    cases = [
        (by_account, request_of(put, one_role)),
        (by_account, request_of(put, another)),
        (by_role, request_of(put, one_role)),
        (by_role, request_of(put, another)),
        (by_account, request_of(get, one_role)),
        (by_account, request_of(put, role())),
    ]
    assert judge(cases) == ["Allowed"] * 3 + ["ImplicitlyDenied"] * 3


def test_principals_may_be_in_several_accounts_and_in_the_owners_account():
    names = [role(), role(account="444455556666"), f"arn:aws:iam::{OWNER}:user/eve"]
    policy = bucket_policy(destination(), principal=names, purpose="read").to_dict()
    get = Call(operation="GetObject", key="cohorts/x")
    requests = [request_of(get, name) for name in names]
    # For a principal of the owner's account, the bucket's policy is enough.
    requests[-1] = evolve(requests[-1], own_policy=())
    assert verdicts(policy, requests) == ["Allowed"] * 3


def test_organisation_allows_only_its_principals():
    policy = bucket_policy(
        destination(), principal="111122223333", purpose="read", organisation="o-a1b2c3d4e5"
    ).to_dict()
    get = Call(operation="GetObject", key="cohorts/x")
    requests = [
        request_of(get, role(), context=SECURE | {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}),
        request_of(get, role(), context=SECURE | {"aws:PrincipalOrgID": "o-zzzzzzzzzz"}),
        request_of(get, role()),
    ]
    assert verdicts(policy, requests) == ["Allowed", "ImplicitlyDenied", "ImplicitlyDenied"]


def test_source_account_allows_a_service_only_on_its_behalf():
    service = "logging.s3.amazonaws.com"
    policy = bucket_policy(
        destination(), principal=service, purpose="read", source_account=OWNER
    ).to_dict()
    get = Call(operation="GetObject", key="cohorts/x")
    requests = [
        evolve(request_of(get, service, context=SECURE | extra), own_policy=())
        for extra in ({"aws:SourceAccount": OWNER}, {"aws:SourceAccount": "111122223333"}, {})
    ]
    assert verdicts(policy, requests) == ["Allowed", "ImplicitlyDenied", "ImplicitlyDenied"]


KEY = f"arn:aws:kms:us-east-1:{OWNER}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_only_the_given_key_or_the_default_of_the_bucket_may_encrypt():
    policy = bucket_policy(destination(), principal=role(), kms_key=KEY).to_dict()
    sse, key_id = "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"

    def put(operation: str, **headers: str) -> Request:
        named = frozenset((name.replace("_", "-"), value) for name, value in headers.items())
        return request_of(Call(operation=operation, key="cohorts/x", headers=named), role())

    for operation in ("PutObject", "CreateMultipartUpload"):
        good = [put(operation), put(operation, **{sse: "aws:kms", key_id: KEY})]
        bad = [
            put(operation, **{sse: "AES256"}),
            put(operation, **{sse: "aws:kms", key_id: KEY.replace("1234abcd", "ffffffff")}),
        ]
        assert verdicts(policy, good) == ["Allowed"] * 2
        assert verdicts(policy, bad) == ["ExplicitlyDenied"] * 2


@pytest.mark.parametrize("purpose", ["write", "amplitude", "read"])
def test_the_key_statement_allows_the_use_by_s3_for_the_path(purpose: Purpose):
    made = bucket_policy(destination(), principal=role(), purpose=purpose, kms_key=KEY)
    assert made.key_statement is not None
    # The judge does not know condition keys with a variable part, such as the encryption
    # context; another string key replaces it.
    known = json.dumps(made.key_statement.to_dict()).replace(
        "kms:EncryptionContext:aws:s3:arn", "aws:Referer"
    )
    policy = {"Version": "2012-10-17", "Statement": [json.loads(known)]}
    anything = ({"Effect": "Allow", "Action": "kms:*", "Resource": "*"},)
    via, arn = "kms:ViaService", "aws:Referer"
    right = {via: "s3.us-east-1.amazonaws.com", arn: f"{bucket_arn()}/cohorts/x"}

    def use(action: str, who: str | None = None, **context: str) -> str:
        return verdicts(
            policy,
            [
                Request(
                    principal=who or role(),
                    action=action,
                    resource=KEY,
                    context=right | context,
                    own_policy=anything,
                )
            ],
        )[0]

    assert use("kms:Decrypt") == "Allowed"
    assert use("kms:Decrypt", **{arn: bucket_arn()}) == "Allowed"
    writes = purpose != "read"
    assert (use("kms:GenerateDataKey") == "Allowed") is writes
    for denied in (
        use("kms:Encrypt"),
        use("kms:ScheduleKeyDeletion"),
        use("kms:Decrypt", who=role(name="other")),
        use("kms:Decrypt", **{via: "ec2.us-east-1.amazonaws.com"}),
        use("kms:Decrypt", **{via: "s3.us-east-2.amazonaws.com"}),
        use("kms:Decrypt", **{arn: f"{bucket_arn()}/cohorts-evil/x"}),
        use("kms:Decrypt", **{arn: "arn:aws:s3:::my-bucket-2/cohorts/x"}),
    ):
        assert denied == "ImplicitlyDenied"


def test_legacy_acl_allows_only_the_acl_for_the_bucket_owner():
    policy = bucket_policy(destination(), principal=role(), legacy_acl=True).to_dict()

    def put(acl: str | None, operation: str = "PutObject") -> Request:
        headers = frozenset({("x-amz-acl", acl)} if acl else ())
        return request_of(Call(operation=operation, key="cohorts/x", headers=headers), role())

    def put_acl(acl: str) -> Request:
        return evolve(put(acl), action="s3:PutObjectAcl", context={"s3:x-amz-acl": acl} | SECURE)

    owner = "bucket-owner-full-control"
    good = [
        put(owner),
        put(owner, "CreateMultipartUpload"),
        put(None, "UploadPart"),
        put_acl(owner),
    ]
    assert verdicts(policy, good) == ["Allowed"] * 4
    bad = [put("public-read"), put("private", "CreateMultipartUpload")]
    assert verdicts(policy, bad) == ["ExplicitlyDenied"] * 2
    assert verdicts(policy, [put_acl("public-read")]) == ["ImplicitlyDenied"]


OTHERS: list[dict[str, Any]] = [
    {
        "Sid": "Team",
        "Effect": "Allow",
        "Principal": {"AWS": role(name="team")},
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": f"{bucket_arn()}/team/*",
    },
    {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"{bucket_arn()}/*",
    },
    {
        "Sid": "AmplitudeCohort",
        "Effect": "Allow",
        "Principal": {"AWS": role(name="team")},
        "Action": "s3:ListBucket",
        "Resource": bucket_arn(),
        "Condition": {"StringLike": {"s3:prefix": "team/*"}},
    },
]


@pytest.mark.parametrize("path", PATHS)
def test_after_merging_both_policies_have_the_same_effect_as_before(path: str):
    before = {"Version": "2012-10-17", "Id": "theirs", "Statement": OTHERS}
    merged: dict[str, Any] = before
    for purpose in PURPOSES:
        policy = bucket_policy(destination(path), principal=role(name=purpose), purpose=purpose)
        merged = policy.merge_into(merged)
    cases = [
        (merged, request_of(call, role(name=purpose)))
        for purpose in PURPOSES
        for call in expected_calls(path)[purpose]
    ]
    assert set(judge(cases)) == {"Allowed"}
    owner = f"arn:aws:iam::{OWNER}:role/admin"
    theirs = [
        request_of(Call(operation=operation, key=key, prefix=prefix), who)
        for who in (role(name="team"), role(name="other"), owner)
        for operation, key, prefix in (
            ("GetObject", "team/x", None),
            ("PutObject", "team/x", None),
            ("GetObject", "teams/x", None),
            ("ListObjectsV2", None, "team/"),
            ("ListObjectsV2", None, ""),
        )
    ]
    theirs += [
        evolve(theirs[0], principal=who, action="s3:DeleteObject", context=SECURE)
        for who in (role(name="team"), owner, role(name="write"))
    ]
    assert verdicts(merged, theirs) == verdicts(before, theirs)


def test_two_destinations_in_one_bucket_are_separate():
    one = bucket_policy(destination("one"), principal=role(name="one"))
    two = bucket_policy(destination("two"), principal=role(name="two"))
    merged = two.merge_into(one.merge_into(None))
    calls = {path: list(expected_calls(path)["write"]) for path in ("one", "two")}
    for path, other in (("one", "two"), ("two", "one")):
        ours = [request_of(call, role(name=path)) for call in calls[path]]
        cross = [request_of(call, role(name=other)) for call in calls[path]]
        assert set(verdicts(merged, ours)) == {"Allowed"}
        assert set(verdicts(merged, cross)) == {"ImplicitlyDenied"}
