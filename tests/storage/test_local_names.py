"""The file names for keys on Windows and on other platforms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3.storage._local_names import decode_segment, encode_segment
from amplitude_cohort_s3.testing import strategies
from amplitude_cohort_s3.testing.storage_contract import ODD_KEYS


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters="/"), min_size=1
    )
    | strategies.file_names().map(str)
    | st.sampled_from(
        ["con", "CON.csv", "nul.", "a.", "a ", "..", "...", "%3A", "lpt1", "com", "%"]
    )
)
def test_decode_is_the_inverse_of_encode(segment):
    for windows in (True, False):
        assert decode_segment(encode_segment(segment, windows=windows), windows=windows) == segment


@given(
    st.text(st.sampled_from(list('ab<>:"|?*\\%. ')), min_size=1) | st.sampled_from(ODD_KEYS[4:11])
)
def test_an_encoded_segment_is_a_valid_name_on_windows(segment):
    encoded = encode_segment(segment.replace("/", ""), windows=True)
    assert not set(encoded) & set('<>:"|?*\\')
    assert not encoded.endswith((".", " "))


@pytest.mark.parametrize("device", ["con", "CON", "aux.csv", "Lpt1", "com9.tar.gz", "NUL"])
def test_device_names_are_encoded_on_windows(device):
    encoded = encode_segment(device, windows=True)
    assert encoded.startswith("%")
    assert decode_segment(encoded, windows=True) == device


def test_names_are_unchanged_on_other_platforms():
    assert encode_segment('a:b%3A".', windows=False) == 'a:b%3A".'
