"""Bucket policies and lifecycle rules as values: their content, merging and refused arguments."""

import inspect
import json
import pickle
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_type_hints

import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3.errors import (
    ConfigurationError,
    InvalidPolicyError,
)
from amplitude_cohort_s3.format.filename import DiffType, NameStyle
from amplitude_cohort_s3.log.stream import CohortStream
from amplitude_cohort_s3.policy._bucket_names import bucket_name_faults, is_access_point
from amplitude_cohort_s3.policy._checks import partition_of
from amplitude_cohort_s3.policy._merge import MAX_POLICY_BYTES, compact_json
from amplitude_cohort_s3.policy.access import PolicyOptions
from amplitude_cohort_s3.policy.bucket_policy import AMPLITUDE_ACCOUNTS, BucketPolicy, bucket_policy
from amplitude_cohort_s3.policy.lifecycle import lifecycle_rules
from amplitude_cohort_s3.settings.destination import Destination

ROLE = "arn:aws:iam::111122223333:role/etl"
OTHER = "arn:aws:iam::444455556666:role/other"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def destination(
    path: str = "cohorts", bucket: str | None = "my-bucket", region: str | None = "eu-central-1"
) -> Destination:
    return Destination(name="d", bucket=bucket, region=region, path=path)


def policy(path: str = "cohorts", **options: Any) -> BucketPolicy:
    return bucket_policy(destination(path), **{"principal": ROLE} | options)


# --- Content --------------------------------------------------------------------------


def test_a_policy_to_write_has_exactly_these_statements():
    made = policy(tls_only=False)
    family = made.statements[0].sid.removesuffix("Objects")
    assert made.to_dict() == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": f"{family}Objects",
                "Effect": "Allow",
                "Principal": {"AWS": ROLE},
                "Action": [
                    "s3:AbortMultipartUpload",
                    "s3:GetObject",
                    "s3:ListMultipartUploadParts",
                    "s3:PutObject",
                ],
                "Resource": "arn:aws:s3:::my-bucket/cohorts/*",
            },
            {
                "Sid": f"{family}ListBucket",
                "Effect": "Allow",
                "Principal": {"AWS": ROLE},
                "Action": "s3:ListBucket",
                "Resource": "arn:aws:s3:::my-bucket",
                "Condition": {"StringLike": {"s3:prefix": "cohorts/*"}},
            },
        ],
    }


def test_the_json_text_is_ascii_and_equal_for_equal_policies():
    made = policy("ünï/日本", principal=[OTHER, ROLE])
    text = made.to_json()
    assert text.isascii()
    assert json.loads(text) == made.to_dict()
    assert text == policy("ünï/日本", principal=[ROLE, OTHER, ROLE]).to_json()


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_the_partition_follows_from_the_region(region: str, partition: str):
    assert partition_of(region) == partition
    made = bucket_policy(destination(region=region), principal="111122223333")
    assert made.statements[0].resources == (f"arn:{partition}:s3:::my-bucket/cohorts/*",)
    assert made.statements[0].principals == (f"arn:{partition}:iam::111122223333:root",)


def test_the_partitions_are_those_of_botocore():
    session: Any = Session()
    for partition in session.get_available_partitions():
        regions = session.get_available_regions("s3", partition, allow_non_regional=False)
        assert regions
        assert {partition_of(region) for region in regions} == {partition}
    for text in ("nowhere", "aws-global", "us-isox-east-1", "eu-central", "EU-central-1", "", None):
        assert partition_of(text) is None


def test_the_accounts_are_those_that_amplitude_documents():
    assert dict(AMPLITUDE_ACCOUNTS) == {"US": "358203115967", "EU": "202493300829"}


def test_wildcards_in_a_path_are_escaped():
    assert policy("a*b?c$d").statements[0].resources == (
        "arn:aws:s3:::my-bucket/a${*}b${?}c${$}d/*",
    )


def test_an_empty_path_means_the_whole_bucket():
    made = policy("", tls_only=False)
    assert made.statements[0].resources == ("arn:aws:s3:::my-bucket/*",)
    assert made.statements[1].conditions == ()


def test_equal_policies_have_equal_hashes_and_survive_pickling():
    made = policy(kms_key=KEY, create_only=True)
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made) == hash(policy(kms_key=KEY, create_only=True))


def test_the_repr_has_one_line_per_statement():
    bucket, below = "arn:aws:s3:::my-bucket", "s3:prefix StringLike 'cohorts/*'"
    plain = "aws:SecureTransport Bool 'false'"
    assert repr(policy(purpose="read")).splitlines() == [
        "BucketPolicy to read s3://my-bucket/cohorts/",
        f"  Allow {ROLE}: s3:GetObject on {bucket}/cohorts/*",
        f"  Allow {ROLE}: s3:ListBucket on {bucket} if {below}",
        f"  Deny everyone: s3:* on {bucket}/cohorts/* if {plain}",
        f"  Deny everyone: s3:ListBucket on {bucket} if {plain} and {below}",
    ]


def test_the_html_view_escapes_the_path():
    view = policy("<script>alert(1)</script>&x")._repr_html_()
    assert "<script" not in view
    assert "&lt;script&gt;" in view


def test_apply_bucket_policy_has_the_options_of_bucket_policy():
    signature = inspect.signature(bucket_policy)
    hints = get_type_hints(bucket_policy)
    keywords = {n for n, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert get_type_hints(PolicyOptions) == {name: hints[name] for name in keywords}


# --- Refused arguments ----------------------------------------------------------------


def test_all_faults_are_reported_at_once():
    with pytest.raises(ConfigurationError) as caught:
        bucket_policy(
            destination(bucket="My_Bucket", region="nowhere"),
            principal=["role/etl", "arn:aws:iam::1:role/*"],
            purpose="amplitude",
            create_only=True,
            organisation="acme",
            source_account="1",
            kms_key="alias/mine",
        )
    text = str(caught.value)
    for part in (
        "My_Bucket",
        "nowhere",
        "role/etl",
        "role/*",
        "create_only",
        "organisation",
        "source_account",
        "kms_key",
    ):
        assert part in text
    assert len(caught.value.faults) == 9


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"principal": ()}, "must have at least one"),
        ({"principal": "*"}, "without wildcards"),
        ({"principal": "arn:aws:iam::111122223333:group/x"}, "without wildcards"),
        ({"principal": "arn:aws-cn:iam::111122223333:role/x"}, "no access across partitions"),
        (
            {"principal": [ROLE, "x.amazonaws.com"], "organisation": "o-a1b2c3d4e5"},
            "one policy for",
        ),
        ({"source_account": "111122223333"}, "the principal is a service"),
        ({"purpose": "read", "create_only": True}, "create_only"),
        ({"purpose": "read", "legacy_acl": True}, "legacy_acl"),
        ({"purpose": "maintain", "kms_key": KEY}, "uses no key"),
        ({"kms_key": KEY.replace("eu-central-1", "us-east-1")}, "bucket's region"),
        (
            {"purpose": "everything"},
            "purpose must be 'write', 'amplitude', 'read' or 'maintain', not",
        ),
    ],
)
def test_contradictory_options_are_refused(options: dict[str, Any], fault: str):
    with pytest.raises(ConfigurationError, match=fault):
        policy(**options)


def test_a_destination_without_bucket_and_region_is_refused():
    with pytest.raises(ConfigurationError, match=r"has no bucket.*has no region"):
        bucket_policy(destination(bucket=None, region=None), principal=ROLE)


@pytest.mark.parametrize(
    "bucket",
    [
        "arn:aws:s3:eu-central-1:111122223333:accesspoint/my-ap",
        "ap-hrzrlukc5m36ft7okagglf3-s3alias",
    ],
)
def test_an_access_point_is_refused(bucket: str):
    assert is_access_point(bucket)
    with pytest.raises(ConfigurationError, match="has a policy of its own"):
        bucket_policy(destination(bucket=bucket), principal=ROLE)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("my-bucket", None),
        ("a.b-c.9", None),
        ("data-111122223333-eu-central-1-an", None),
        ("x" * 63, None),
        ("ab", "3 to 63"),
        ("x" * 64, "3 to 63"),
        ("My-bucket", "only a-z"),
        ("my_bucket", "only a-z"),
        ("bücket", "only a-z"),
        ("my-bucket\n", "only a-z"),
        ("-bucket", "begin and end"),
        ("bucket.", "begin and end"),
        ("a..b", "adjacent"),
        ("192.168.5.4", "IP address"),
        ("xn--bucket", "prefix xn--"),
        ("sthree-configurator", "prefix sthree-"),
        ("amzn-s3-demo-bucket", "prefix amzn-s3-demo-"),
        ("bucket-s3alias", "suffix -s3alias"),
        ("bucket--ol-s3", "suffix --ol-s3"),
        ("bucket.mrap", "suffix .mrap"),
        ("bucket--use1-az4--x-s3", "suffix --x-s3"),
        ("bucket--table-s3", "suffix --table-s3"),
        ("bucket-an", "-<account>-<region>-an"),
    ],
)
def test_a_bucket_name_must_follow_the_rules(name: str, rule: str | None):
    faults = bucket_name_faults(name)
    assert bool(faults) is (rule is not None)
    assert rule is None or any(rule in fault for fault in faults)


@pytest.mark.parametrize(
    ("bucket", "is_one"),
    [
        ("arn:aws:s3:us-east-1:111122223333:accesspoint/my-ap", True),
        ("arn:aws:s3:us-east-1:111122223333:accesspoint:my-ap", True),
        ("arn:aws-cn:s3:cn-north-1:111122223333:accesspoint/my-ap", True),
        ("arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap", True),
        ("my-ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias", True),
        ("arn:aws:s3:us-east-1:111122223333:accesspoint/My_ap", False),
        ("arn:aws:s3:us-east-1:1111:accesspoint/my-ap", False),
        ("arn:aws:s3-object-lambda:us-east-1:111122223333:accesspoint/my-ap", False),
        ("arn:aws:s3-outposts:us-east-1:111122223333:outpost/op-1/accesspoint/ap", False),
        ("arn:aws:s3:::my-bucket", False),
        ("my-bucket", False),
    ],
)
def test_access_points_are_recognized(bucket: str, *, is_one: bool):
    assert is_access_point(bucket) is is_one
    assert bool(bucket_name_faults(bucket)) is (bucket != "my-bucket")


# --- Merging --------------------------------------------------------------------------

THEIRS = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
names = st.text(st.characters(codec="utf-8"), max_size=10)
other_statements = st.lists(
    st.dictionaries(st.sampled_from(["Sid", "Effect", "NotAction", "Resource"]), names, min_size=1),
    max_size=4,
)
other_policies = st.none() | st.builds(
    lambda statements, extra: {"Version": "2012-10-17", **extra, "Statement": statements},
    other_statements,
    st.dictionaries(st.just("Id"), names),
)


@given(other_policies, st.sampled_from(["write", "read"]), st.sampled_from(["", "a", "ü/b*"]))
def test_merging_is_idempotent_and_keeps_all_other_statements(
    before: dict[str, Any] | None, purpose: str, path: str
):
    made = policy(path, purpose=purpose)
    once = made.merge_into(before)
    assert made.merge_into(once) == once
    assert made.merge_into(json.dumps(once)) == once
    assert not made.compare(once).changed
    ours = made.to_dict()["Statement"]
    assert once["Statement"] == [*(before or {"Statement": []})["Statement"], *ours]
    assert {**(before or {"Version": "2012-10-17"}), "Statement": once["Statement"]} == once


def test_statements_that_a_later_policy_does_not_have_are_removed():
    first = policy(create_only=True, principal=[ROLE, OTHER])
    second = policy(principal=ROLE, tls_only=False)
    merged = first.merge_into({"Version": "2012-10-17", "Statement": [THEIRS]})
    change = second.compare(merged)
    assert change.after == second.merge_into({"Version": "2012-10-17", "Statement": [THEIRS]})
    family = first.statements[0].sid.removesuffix("Objects")
    assert change.added == ()
    assert change.replaced == (f"{family}Objects", f"{family}ListBucket")
    assert change.removed == tuple(
        family + name for name in ("PlainObjects", "PlainListBucket", "Overwrite")
    )
    assert repr(change).splitlines()[1:3] == [f"  ~ {family}Objects", f"  ~ {family}ListBucket"]


def test_policies_for_other_purposes_and_paths_are_kept():
    merged = policy(purpose="read").merge_into(policy().merge_into(None))
    merged = policy("cohorts2").merge_into(merged)
    sids = [statement["Sid"] for statement in merged["Statement"]]
    assert len(set(sids)) == len(sids) == 12
    assert all(sid.isalnum() and sid.isascii() for sid in sids)
    assert not policy().compare(merged).changed


def test_a_statement_with_our_id_and_unexpected_content_is_replaced():
    made = policy()
    sid = made.statements[0].sid
    change = made.compare({"Version": "2012-10-17", "Statement": {"Sid": sid, "Action": 5}})
    assert change.replaced == (sid,)
    assert change.after == made.to_dict()


def test_another_order_or_a_list_of_one_value_is_not_a_change():
    merged = policy(principal=[ROLE, OTHER]).to_dict()
    for statement in merged["Statement"]:
        statement["Resource"] = [statement["Resource"]]
        if isinstance(statement["Action"], list):
            statement["Action"].reverse()
        if statement["Principal"] != "*":
            statement["Principal"]["AWS"].reverse()
    change = policy(principal=[ROLE, OTHER]).compare(merged)
    assert not change.changed
    assert change.after == merged
    assert repr(change) == "PolicyChange: nothing to change"


def test_a_policy_may_have_a_single_statement_without_a_list():
    made = policy()
    merged = made.merge_into({"Version": "2012-10-17", "Statement": THEIRS})
    assert merged["Statement"] == [THEIRS, *made.to_dict()["Statement"]]


def test_merging_does_not_change_its_argument():
    before = {"Version": "2012-10-17", "Statement": [THEIRS]}
    text = json.dumps(before)
    policy().merge_into(before)
    assert json.dumps(before) == text


@pytest.mark.parametrize(
    ("before", "rule"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ({"Statement": "x"}, "neither an object nor a list"),
        ({"Statement": ["x"]}, "not an object"),
    ],
)
def test_a_malformed_policy_is_refused(before: Any, rule: str):
    with pytest.raises(InvalidPolicyError, match=rule):
        policy().merge_into(before)


def test_a_policy_of_the_old_version_is_refused_only_if_the_path_needs_variables():
    before = {"Version": "2008-10-17", "Statement": [THEIRS]}
    assert policy().merge_into(before)["Version"] == "2008-10-17"
    for old in (before, {"Statement": [THEIRS]}):
        with pytest.raises(InvalidPolicyError, match="2008-10-17"):
            policy("a*b").merge_into(old)


def test_a_policy_may_have_exactly_the_bytes_of_the_limit():
    made = policy()

    def padded(size: int) -> dict[str, Any]:
        statement = THEIRS | {"Sid": ""}
        empty = made.merge_into({"Version": "2012-10-17", "Statement": [statement]})
        statement["Sid"] = "x" * (size - len(compact_json(empty)))
        return {"Version": "2012-10-17", "Statement": [statement]}

    assert len(compact_json(made.merge_into(padded(MAX_POLICY_BYTES)))) == 20480
    with pytest.raises(InvalidPolicyError, match="20,483 bytes, but S3 accepts at most 20,480"):
        made.merge_into(padded(MAX_POLICY_BYTES + 3))


# --- Lifecycle ------------------------------------------------------------------------

days = st.dates(min_value=date(2012, 1, 1), max_value=date(2099, 12, 31))
STREAM = CohortStream(project_id=123, cohort_id="26umsb5", path="cohorts")


def key_on(day: date, stream: CohortStream = STREAM) -> str:
    when = datetime(day.year, day.month, day.day, 14, 5, tzinfo=UTC)
    return stream.name(when, DiffType.EXISTING, NameStyle()).key(stream.path)


def expires(rules: list[dict[str, Any]], key: str) -> bool:
    return any("Expiration" in r and key.startswith(r["Filter"]["Prefix"]) for r in rules)


@given(newest=days, other=days, keep=st.integers(0, 400))
def test_files_expire_if_their_day_is_older_than_the_kept_ones(
    newest: date, other: date, keep: int
):
    when = datetime(newest.year, newest.month, newest.day, 23, 59, tzinfo=UTC)
    rules = lifecycle_rules(destination(), newest={STREAM: when}, keep=timedelta(days=keep))
    assert expires(rules, key_on(other)) is (other < newest - timedelta(days=keep))
    assert not expires(rules, key_on(newest))
    assert len({rule["ID"] for rule in rules}) == len(rules) <= 40


def test_only_files_of_the_named_cohorts_expire_and_never_logs():
    newest = datetime(2026, 11, 23, tzinfo=UTC)
    rules = lifecycle_rules(destination(), newest={STREAM: newest})
    old = date(2020, 1, 1)
    other = CohortStream(project_id=123, cohort_id="26umsb", path="cohorts")
    elsewhere = CohortStream(project_id=123, cohort_id="26umsb5", path="cohorts2")
    assert expires(rules, key_on(old))
    assert not expires(rules, key_on(old, other))
    assert not expires(rules, key_on(old, elsewhere))
    assert not expires(rules, STREAM.log_prefix + "99999998-1.json")


def test_the_oldest_time_applies_to_all_streams_of_a_cohort():
    keyed = CohortStream(project_id=123, cohort_id="26umsb5", path="cohorts", routing_key="key")
    rules = lifecycle_rules(
        destination(),
        newest={
            STREAM: datetime(2026, 11, 23, tzinfo=UTC),
            keyed: datetime(2025, 1, 2, tzinfo=UTC),
        },
    )
    assert not expires(rules, key_on(date(2025, 1, 2), keyed))
    assert not expires(rules, key_on(date(2025, 6, 1), STREAM))
    assert expires(rules, key_on(date(2025, 1, 1), STREAM))


@pytest.mark.parametrize(("path", "prefix"), [("", ""), ("a/b", "a/b/")])
def test_stale_uploads_below_the_path_are_aborted(path: str, prefix: str):
    (rule,) = lifecycle_rules(destination(path), abort_uploads_after_days=3)
    assert rule["Filter"] == {"Prefix": prefix}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 3}
    assert rule["Status"] == "Enabled"


def test_all_faults_of_lifecycle_rules_are_reported_at_once():
    elsewhere = CohortStream(project_id=1, cohort_id="a", path="elsewhere")
    with pytest.raises(ConfigurationError) as caught:
        lifecycle_rules(
            destination(),
            abort_uploads_after_days=0,
            newest={elsewhere: datetime(2026, 1, 1, tzinfo=UTC)},
            keep=timedelta(-1),
        )
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("wrong", ["7", None, True, 7.0])
def test_an_age_that_is_not_a_number_of_days_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="abort_uploads_after_days must be of type int"):
        lifecycle_rules(destination(), abort_uploads_after_days=wrong)


def test_more_rules_than_a_bucket_may_have_are_refused():
    many = {
        CohortStream(project_id=n, cohort_id="a", path="cohorts"): datetime(
            2099, 12, 31, tzinfo=UTC
        )
        for n in range(40)
    }
    with pytest.raises(ConfigurationError, match="can have 1,000 rules"):
        lifecycle_rules(destination(), newest=many)
