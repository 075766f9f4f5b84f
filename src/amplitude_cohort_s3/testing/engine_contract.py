"""The tests of the protocol of a ``DiffEngine``.

To use them, subclass, define a fixture, and run pytest::

    class TestMyEngine(DiffEngineContract):
        @pytest.fixture
        def engine(self):
            return MyEngine()
"""

from collections.abc import Iterator
from itertools import groupby

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..diff.progress import ProgressEvent
from ..diff.protocol import DiffEngine
from ..errors import (
    DuplicateKeyError,
    EmptyKeyError,
    MalformedCsvError,
    MissingColumnsError,
)
from ..format.columns import Row
from ..format.existing_meaning import ExistingMeaning
from ..format.schema import RowSchema
from .engine_cases import (
    SCHEMA,
    Run,
    canonical_bytes,
    csv_source,
    dialects,
    expected_result,
    sample_rows,
    unique_rows,
)

MEANINGS = tuple(ExistingMeaning)


class DiffEngineContract:
    """One test for each promise of :class:`~amplitude_cohort_s3.diff.DiffEngine`.

    A subclass defines the fixture ``engine``.
    """

    @pytest.fixture
    def engine(self) -> DiffEngine:
        """Return the engine to be tested."""
        raise NotImplementedError("override the fixture `engine` in your subclass")

    @pytest.fixture
    def run(self, engine: DiffEngine) -> Iterator[Run]:
        """Yield a function that runs the engine in a folder of its own."""
        with Run(engine) as run:
            yield run

    # --- The three files ---

    @pytest.mark.parametrize("existing", MEANINGS)
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(previous=unique_rows(), current=unique_rows(), canonical=st.booleans(), data=st.data())
    def test_the_three_files_have_the_expected_bytes(
        self,
        run: Run,
        existing: ExistingMeaning,
        previous: list[Row],
        current: list[Row],
        canonical: bool,  # noqa: FBT001 -- hypothesis passes by name
        data: st.DataObject,
    ) -> None:
        # Half of the previous members stay; otherwise hardly any member would be on both sides.
        current = [
            row for row in current if row[0] not in {p[0] for p in previous[::2]}
        ] + previous[::2]
        given_previous = canonical_bytes(previous, ordered=canonical)
        name = data.draw(st.sampled_from(sorted(dialects(current))))
        result = run(
            csv_source(given_previous, canonical=canonical),
            csv_source(dialects(current)[name], chunk=data.draw(st.integers(1, 99))),
            existing=existing,
        )
        assert result == expected_result(previous, current, existing)

    @pytest.mark.parametrize("key", ["user_id", "city"])
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data(), canonical=st.booleans())
    def test_members_are_matched_by_another_key(
        self,
        run: Run,
        key: str,
        data: st.DataObject,
        canonical: bool,  # noqa: FBT001 -- hypothesis passes by name
    ) -> None:
        schema = evolve(SCHEMA, key=key)
        rows = unique_rows(schema.key_index)
        previous, current = data.draw(rows), data.draw(rows)
        result = run(
            csv_source(canonical_bytes(previous, schema, ordered=canonical), canonical=canonical),
            csv_source(canonical_bytes(current, schema, ordered=False)),
            schema=schema,
        )
        assert result == expected_result(previous, current, ExistingMeaning.MEMBERS, schema)

    def test_the_form_of_the_csv_does_not_change_the_result(self, run: Run) -> None:
        previous = sample_rows(300)
        current = [*sample_rows(330)[30:], ("9", "x,y", 'a "b"', "c\r\nd"), ("8", "\r", "", "é")]
        expected = expected_result(previous, current, ExistingMeaning.MEMBERS)
        for before in dialects(previous).values():
            for now in dialects(current).values():
                assert run(csv_source(before), csv_source(now)) == expected

    @pytest.mark.parametrize("existing", MEANINGS)
    @pytest.mark.parametrize(
        ("before", "now"),
        [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2000), (2000, 0), (2000, 2000), (1, 2000), (2000, 1)],
    )
    def test_sides_of_any_size(
        self, run: Run, existing: ExistingMeaning, before: int, now: int
    ) -> None:
        previous, current = sample_rows(before), sample_rows(now)
        result = run(
            csv_source(canonical_bytes(previous), canonical=True),
            csv_source(canonical_bytes(current, ordered=False)),
            existing=existing,
        )
        assert result == expected_result(previous, current, existing)

    @pytest.mark.parametrize("existing", MEANINGS)
    @pytest.mark.parametrize("canonical", [True, False])
    def test_a_changed_property_is_neither_entering_nor_exiting(
        self,
        run: Run,
        existing: ExistingMeaning,
        canonical: bool,  # noqa: FBT001 -- pytest passes by name
    ) -> None:
        previous = sample_rows(3000)
        current = [(*row[:3], "moved") if i % 3 else row for i, row in enumerate(previous)]
        current = [*current[100:], *((f"new{i}", "", "", "") for i in range(100))]
        result = run(
            csv_source(canonical_bytes(previous), canonical=canonical),
            csv_source(canonical_bytes(current, ordered=False)),
            existing=existing,
        )
        assert result == expected_result(previous, current, existing)

    # --- Rows whose keys are not evenly distributed ---

    @pytest.mark.parametrize("canonical", [True, False])
    def test_current_rows_in_the_order_of_the_key(
        self,
        run: Run,
        canonical: bool,  # noqa: FBT001 -- pytest passes by name
    ) -> None:
        previous, current = sample_rows(4000), sample_rows(4400)[400:]
        result = run(
            csv_source(canonical_bytes(previous), canonical=canonical),
            csv_source(canonical_bytes(current)),
        )
        assert result == expected_result(previous, current, ExistingMeaning.MEMBERS)

    def test_keys_with_a_long_common_prefix(self, run: Run) -> None:
        previous = [("x" * 300 + row[0], *row[1:]) for row in sample_rows(2000)]
        current = [*previous[100:], *sample_rows(50)]
        result = run(
            csv_source(canonical_bytes(previous), canonical=True),
            csv_source(canonical_bytes(current, ordered=False)),
        )
        assert result == expected_result(previous, current, ExistingMeaning.MEMBERS)

    def test_large_and_many_cells(self, run: Run) -> None:
        schema = RowSchema(properties=tuple(f"p{i}" for i in range(60)))
        rows = [
            (str(i), "", *("x,y" if i % 7 == j % 7 else "z" for j in range(60))) for i in range(50)
        ]
        rows.append(("big", "é" * (1 << 19), *[""] * 60))
        result = run(
            csv_source(canonical_bytes(rows[:-1], schema), canonical=True),
            csv_source(canonical_bytes(rows[5:], schema, ordered=False)),
            schema=schema,
        )
        assert result == expected_result(rows[:-1], rows[5:], ExistingMeaning.MEMBERS, schema)

    # --- Previous files with other columns ---

    @pytest.mark.parametrize("canonical", [True, False])
    def test_exiting_rows_have_the_columns_of_the_schema(
        self,
        run: Run,
        canonical: bool,  # noqa: FBT001 -- pytest passes by name
    ) -> None:
        old = RowSchema(properties=("gone", "plan"), header_style="api")
        previous = [("1", "a", "x", "pro"), ("2", "b", "y", "free")]
        result = run(
            csv_source(canonical_bytes(previous, old), canonical=canonical),
            csv_source(canonical_bytes([("2", "b", "free", "Rome")])),
        )
        assert result[1] == canonical_bytes([("1", "a", "pro", "")])
        assert result[0] == canonical_bytes([])

    # --- The rules for keys ---

    def test_equal_rows_collapse_and_are_counted(self, run: Run) -> None:
        rows = sample_rows(500)
        result = run(
            csv_source(canonical_bytes([])),
            csv_source(canonical_bytes([*rows, *rows[::2], *rows[::4]])),
        )
        assert result == expected_result([], rows, ExistingMeaning.MEMBERS)
        assert run.report.collapsed == 250 + 125
        assert run.report.members_now == 500

    @pytest.mark.parametrize("before", [0, 1, 2, 500])
    def test_different_rows_of_one_key_are_refused(self, run: Run, before: int) -> None:
        rows = sample_rows(500)
        with pytest.raises(DuplicateKeyError) as caught:
            run(
                csv_source(canonical_bytes(rows[:before]), canonical=True),
                csv_source(
                    canonical_bytes(
                        [
                            *rows,
                            ("1", "other", "", ""),
                            rows[1],
                            ("3", "line\nend", "", ""),
                            ("3", "", "", ""),
                        ],
                        ordered=False,
                    )
                ),
            )
        error = caught.value
        line = canonical_bytes(rows, ordered=False).count(b"\n") + 1
        assert (error.column, error.count, error.lines) == ("amplitude_id", 2, (line, line + 2))

    @pytest.mark.parametrize("before", [0, 1, 500])
    def test_keep_smallest_keeps_the_row_with_the_smaller_bytes(
        self, run: Run, before: int
    ) -> None:
        rows = sample_rows(500)
        extra = [("1", "", "", ""), ("1", "zz", "", ""), ("2", "zz", "", "")]
        expected = [("1", "", "", ""), *(row for row in rows if row[0] != "1")]
        result = run(
            csv_source(canonical_bytes(rows[:before]), canonical=True),
            csv_source(canonical_bytes([*rows, *extra], ordered=False)),
            duplicates="keep_smallest",
        )
        assert result == expected_result(rows[:before], expected, ExistingMeaning.MEMBERS)
        assert run.report.collapsed == 3

    def test_an_empty_amplitude_id_is_an_error(self, run: Run) -> None:
        rows = [("1", "a", "", ""), ("", "b", "x\ny", ""), ("", "c", "", ""), ("2", "", "", "")]
        with pytest.raises(EmptyKeyError) as caught:
            run(csv_source(canonical_bytes([])), csv_source(canonical_bytes(rows, ordered=False)))
        assert (caught.value.count, caught.value.lines) == (2, (3, 5))

    def test_rows_without_another_key_are_skipped_and_counted(self, run: Run) -> None:
        schema = evolve(SCHEMA, key="user_id")
        rows = [("1", "a", "", ""), ("2", "", "", ""), ("3", "", "", ""), ("4", "", "", "")]
        result = run(
            csv_source(canonical_bytes([], schema)),
            csv_source(canonical_bytes(rows, schema)),
            schema=schema,
        )
        assert result == expected_result([], rows[:1], ExistingMeaning.MEMBERS, schema)
        assert (run.report.skipped, run.report.collapsed) == (3, 0)

    # --- Errors and progress ---

    def test_an_error_has_the_line_of_a_malformed_row(self, run: Run) -> None:
        good = canonical_bytes(sample_rows(2000), ordered=False)
        with pytest.raises(MalformedCsvError) as caught:
            run(csv_source(canonical_bytes([])), csv_source(good + b"1,2\n3,4,5,6,7,8\n"))
        assert caught.value.line == good.count(b"\n") + 1

    def test_a_canonical_file_that_is_not_sorted_is_malformed(self, run: Run) -> None:
        rows = [(*row[:2], "", "") for row in sorted(sample_rows(2000))]
        rows[1500], rows[1501] = rows[1501], rows[1500]
        with pytest.raises(MalformedCsvError) as caught:
            run(
                csv_source(canonical_bytes(rows, ordered=False), canonical=True),
                csv_source(canonical_bytes(rows[:100])),
            )
        assert caught.value.line == 1503

    def test_missing_columns_are_an_error_and_surplus_ones_are_reported(self, run: Run) -> None:
        with pytest.raises(MissingColumnsError):
            run(csv_source(canonical_bytes([])), csv_source(b"amplitudeID,plan\n1,x\n"))
        run(csv_source(canonical_bytes([])), csv_source(b"amplitudeID,city,age,plan\n1,x,4,y\n"))
        assert run.report.ignored_columns == ("age",)

    def test_progress_is_reported(self, run: Run) -> None:
        events = list[ProgressEvent]()
        rows = sample_rows(1000)
        source = evolve(csv_source(canonical_bytes(rows)), rows=len(rows))
        run.engine.diff(
            csv_source(canonical_bytes([])),
            source,
            schema=SCHEMA,
            existing=ExistingMeaning.MEMBERS,
            duplicates="refuse",
            folder=run.folder,
            progress=events.append,
        )
        reading = [event for event in events if event.step == "read"]
        assert reading[-1] == ProgressEvent("read", 1000, 1000, "rows")
        # The comparison comes after the reading, and neither goes back.
        assert events[: len(reading)] == reading
        for _, step in groupby(events, key=lambda event: event.step):
            counts = [event.done for event in step]
            assert counts == sorted(counts)
