"""Streams: the keys of their files and of their logs, which no two streams share."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import CohortStream, DiffType
from amplitude_cohort_s3.errors import ConfigurationError, InvalidFileNameError
from amplitude_cohort_s3.testing import strategies


@pytest.mark.parametrize(
    ("stream", "data_prefix", "log_prefix"),
    [
        ((1, "a"), "1_a_", "_syncs/1_a/"),
        ((1, "a", "p/q"), "p/q/1_a_", "p/q/_syncs/1_a/"),
        ((None, "a"), "a_", "_syncs/none_a/"),
        ((0, "a", "", "vip"), "0_a_", "_syncs/0_a_vip/"),
        ((0, "a", "", "v_x.csv~ü"), "0_a_", "_syncs/0_a_v%5Fx%2Ecsv%7E%C3%BC/"),
    ],
)
def test_the_prefixes_of_a_streams_files_and_log(stream, data_prefix, log_prefix):
    keys = ("project_id", "cohort_id", "path", "routing_key")
    found = CohortStream(**dict(zip(keys, stream, strict=False)))
    assert (found.data_prefix, found.log_prefix) == (data_prefix, log_prefix)


@given(strategies.streams(), strategies.streams())
def test_law_two_streams_never_share_a_log(one, other):
    assert (one.log_prefix == other.log_prefix) == (one == other)


@given(strategies.streams())
def test_the_log_of_a_longer_routing_key_is_not_inside_that_of_a_shorter_one(stream):
    longer = attrs.evolve(stream, routing_key=(stream.routing_key or "") + "_x")
    assert not longer.log_prefix.startswith(stream.log_prefix)


@given(st.text("ab_.~%", min_size=1, max_size=4), st.text("ab_.~%", min_size=1, max_size=4))
def test_law_two_routing_keys_never_share_a_log(one, other):
    prefixes = {
        CohortStream(project_id=1, cohort_id="a", routing_key=key).log_prefix
        for key in (one, other)
    }
    assert len(prefixes) == len({one, other})


def test_a_long_routing_key_has_its_own_log_with_a_short_name():
    streams = [
        CohortStream(project_id=1, cohort_id="a", routing_key="日" * 150 + end) for end in "ab"
    ]
    one, other = (stream.log_prefix for stream in streams)
    assert one != other
    assert max(map(len, one.split("/"))) < 200


@given(strategies.streams(), strategies.times(), st.sampled_from(DiffType), st.data())
def test_law_a_stream_owns_its_file_names_and_their_keys_have_its_prefix(
    stream, when, diff_type, data
):
    style = data.draw(strategies.name_styles(written=True))
    name = stream.name(style.floor(when), diff_type, style)
    assert stream.owns(stream.path, name)
    assert name.key(stream.path).startswith(stream.data_prefix)
    assert not attrs.evolve(stream, path=f"{stream.path}x").owns(stream.path, name)
    other = attrs.evolve(stream, routing_key=f"{stream.routing_key or ''}x")
    assert not other.owns(stream.path, name)


def test_a_stream_is_refused_if_no_file_name_can_have_its_parts():
    for parts in ({"cohort_id": "a_b"}, {"routing_key": ""}, {"project_id": -1}):
        with pytest.raises(InvalidFileNameError):
            CohortStream(**{"project_id": 1, "cohort_id": "a"} | parts)


def test_a_path_that_ends_in_a_slash_is_refused_because_no_key_has_it():
    with pytest.raises(ConfigurationError):
        CohortStream(project_id=1, cohort_id="a", path="cohorts/")
