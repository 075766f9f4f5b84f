"""The JSON Schema of the docs fits what the library writes, and the page names every field."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import Outcome, SyncRecord
from amplitude_cohort_s3.errors import RecordFormatError
from amplitude_cohort_s3.testing import strategies

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
SCHEMA = json.loads((REFERENCE / "record.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@given(entry=strategies.records() | strategies.outcomes())
def test_every_entry_fits_the_schema(entry: SyncRecord | Outcome):
    VALIDATOR.validate(json.loads(entry.to_bytes()))


@given(record=strategies.records(), data=st.data())
def test_a_field_more_or_less_fits_neither_the_schema_nor_the_library(
    record: SyncRecord, data: st.DataObject
):
    value = json.loads(record.to_bytes())
    name = data.draw(st.sampled_from([*value, "another"]))
    if name in value:
        del value[name]
    else:
        value[name] = "one more"
    assert not VALIDATOR.is_valid(value)
    with pytest.raises(RecordFormatError):
        SyncRecord.from_bytes(json.dumps(value).encode(), key="k")


def test_the_page_names_every_field():
    page = (REFERENCE / "record.md").read_text(encoding="utf-8")
    table = page.partition("## Fields")[2]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))))
    assert set(SCHEMA["$defs"]["record"]["properties"]) | {"sha256"} <= named
