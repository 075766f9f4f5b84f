"""The JSON Schema of the docs accepts each entry, and its page names every field."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amplitude_cohort_s3 import MemoryStorage, SyncRecord, forget, prune, read_history
from amplitude_cohort_s3.errors import RecordFormatError
from amplitude_cohort_s3.log import Outcome
from amplitude_cohort_s3.testing import strategies
from amplitude_cohort_s3.testing.sample_bucket import fill_bucket

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
SCHEMA = json.loads((REFERENCE / "record.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_valid_json_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@given(entry=strategies.records() | strategies.outcomes())
def test_every_entry_fits_the_schema(entry: SyncRecord | Outcome):
    VALIDATOR.validate(json.loads(entry.to_bytes()))


@given(record=strategies.records(), data=st.data())
def test_an_extra_or_missing_field_is_refused_by_schema_and_library(
    record: SyncRecord, data: st.DataObject
):
    value = json.loads(record.to_bytes())
    required = [name for name in value if name not in ("changed", "recovered")]
    name = data.draw(st.sampled_from([*required, "another"]))
    if name in value:
        del value[name]
    else:
        value[name] = "one more"
    assert not VALIDATOR.is_valid(value)
    with pytest.raises(RecordFormatError):
        SyncRecord.from_bytes(json.dumps(value).encode(), key="k")


def test_every_entry_of_a_log_with_amendments_fits_the_schema():
    storage = MemoryStorage()
    stream = fill_bucket(storage, syncs=4, members=50)
    history = read_history(storage, stream)
    person = next(iter(history.members_at(history[-1])))[0]
    assert forget(storage, stream, [person]).files
    prune(storage, stream, before=history[2].synced_at)
    entries = {
        info.key: json.loads(storage.open(info.key).read())
        for info in storage.list_objects(stream.log_prefix)
    }
    for entry in entries.values():
        VALIDATOR.validate(entry)
    assert {entry["purpose"] for entry in entries.values() if "purpose" in entry} == {
        "forget",
        "prune",
    }
    assert any(entry.get("outcome") == "amended" for entry in entries.values())


def fields_of(schema):
    """Return the names of the fields of a schema and its parts."""
    if isinstance(schema, list):
        return set().union(*map(fields_of, schema))
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties", {})
    parts = [*own.values(), *schema.get("$defs", {}).values()]
    parts += [part for key, part in schema.items() if key not in ("properties", "$defs")]
    return set(own).union(*map(fields_of, parts))


def test_the_page_names_every_field():
    page = (REFERENCE / "record.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[`\"](\w+)[`\"]", page))
    assert fields_of(SCHEMA) - {"handle"} <= named


def test_the_golden_bucket_of_this_version_has_every_field():
    """A new field needs a sync in test_golden_buckets.py that has it."""
    bucket = Path(__file__).parent / "data" / f"bucket_{version('amplitude_cohort_s3')}.json"
    objects = json.loads(bucket.read_text(encoding="utf-8"))
    entries = [json.loads("".join(lines)) for key, lines in objects.items() if "/_syncs/" in key]
    for entry in entries:
        VALIDATOR.validate(entry)
    written = set(re.findall(r'"(\w+)":', json.dumps(entries)))
    assert fields_of(SCHEMA) - written == set()
