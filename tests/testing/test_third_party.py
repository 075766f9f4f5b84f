"""Engines and sources that others write from the documentation work at run time too."""

import importlib.util
import re
import sqlite3
from pathlib import Path

import pytest

from amplitude_cohort_s3 import CohortSync, Destination, MemoryStorage, UserProperty, sync_cohort
from amplitude_cohort_s3.testing.engine_contract import DiffEngineContract


def third_party(name):
    place = Path(__file__).parents[1] / "typing" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestThirdPartyEngine(DiffEngineContract):
    @pytest.fixture
    def engine(self):
        return third_party("third_party_engine").DictEngine()


class TestDocumentedEngine(DiffEngineContract):
    """The engine in docs/how-to/test_your_pipeline.md."""

    @pytest.fixture
    def engine(self):
        page = Path(__file__).parents[2] / "docs" / "how-to" / "test_your_pipeline.md"
        names = {"sync_cohort": sync_cohort, "MemoryStorage": MemoryStorage}
        names["SYNC"] = CohortSync(destination=Destination(name="d"), project_id=0, cohort_id="a")
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
        (block,) = (block for block in blocks if "class DictEngine" in block)
        exec(block, names)
        return names["DictEngine"]()


def test_a_third_party_source_is_synced(tmp_path):
    database = tmp_path / "crm.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE members (amplitude_id INTEGER, user_id TEXT, plan TEXT)")
        people = [(1, "ann", "pro"), (2, None, "free")]
        connection.executemany("INSERT INTO members VALUES (?, ?, ?)", people)
    connection.close()
    sync = CohortSync(
        destination=Destination(name="crm"),
        project_id=0,
        cohort_id="paying",
        user_properties=[UserProperty("plan")],
    )
    source = third_party("third_party_source").QuerySource(database, "SELECT * FROM members")
    storage = MemoryStorage()
    record = sync_cohort(sync, source, storage).record
    assert (record.members, record.source) == (2, {"database": "crm.db"})
    (existing,) = (i.key for i in storage.list_objects() if i.key.endswith("existing.csv"))
    assert storage.open(existing).read() == b"amplitudeID,userID,plan\n1,ann,pro\n2,,free\n"
    assert sync_cohort(sync, source, storage, synced_at=record.synced_at).already_done
