"""Random buckets as other tools may leave them, and the members that the files mean.

Each file may have rows without a key, repeated rows and different rows with one key. The
members at each sync are plain dicts, made without the library.
"""

import csv
import io
import random
from datetime import UTC, datetime, timedelta

from attrs import field, frozen

from amplitude_cohort_s3 import CohortStream, DiffType, ExistingMeaning, MemoryStorage, NameStyle

STREAM = CohortStream(project_id=1, cohort_id="a", path="in")
START = datetime(2026, 1, 1, 6, 30, tzinfo=UTC)
HEADERS = {"amplitude_id": "amplitudeID", "user_id": "userID"}
ENTERING, EXITING, EXISTING = DiffType


@frozen
class ForeignHistory:
    """A bucket without a log, and what a reader must find.

    Attributes:
        storage: The bucket.
        match_by: The column of the key.
        members: The key and the row of each member, for each sync.
        times: The time of each sync.
    """

    storage: MemoryStorage
    match_by: str
    members: list[dict[str, tuple[str, ...]]] = field(factory=list)
    times: list[datetime] = field(factory=list)

    def lose(self, number: int) -> "ForeignHistory":
        """Remove the three files of a sync."""
        for diff_type in DiffType:
            self.remove(number, diff_type)
        kept = [n for n in range(len(self.times)) if n != number]
        return ForeignHistory(
            self.storage,
            self.match_by,
            [self.members[n] for n in kept],
            [self.times[n] for n in kept],
        )

    def remove(self, number: int, diff_type: DiffType) -> None:
        self.storage.delete(key_of(self.times[number], diff_type))


def key_of(when: datetime, diff_type: DiffType) -> str:
    return STREAM.name(when, diff_type, NameStyle()).key("in")


def rows_by_key(rows: list[tuple[str, ...]], index: int) -> dict[str, tuple[str, ...]]:
    """Return the rows that count: those with a key, and of each key the smallest line."""
    chosen = dict[str, tuple[str, ...]]()
    for row in rows:
        if row[index]:
            chosen[row[index]] = min(chosen.get(row[index], row), row, key=_line)
    return chosen


def random_history(
    seed: int, meaning: ExistingMeaning, match_by: str, step: timedelta, syncs: int = 7
) -> ForeignHistory:
    """Return a bucket of random syncs whose files have odd rows."""
    chosen = random.Random(f"{seed} {meaning} {match_by}")
    found = ForeignHistory(MemoryStorage(), match_by)
    index = list(HEADERS).index(match_by)
    before = dict[str, tuple[str, ...]]()
    for number in range(syncs):
        people = chosen.sample(range(12), chosen.randint(0, 9))
        now = {row[index]: row for row in ((str(p), f"u{p}", f"{number % 3}") for p in people)}
        files = {
            ENTERING: [row for key, row in now.items() if key not in before],
            EXITING: [row for key, row in before.items() if key not in now],
            EXISTING: _existing(meaning, before, now),
        }
        when = START + number * step
        written = {t: _with_odd_rows(rows, index, chosen) for t, rows in files.items()}
        for diff_type, rows in written.items():
            found.storage.create(key_of(when, diff_type), _csv(rows, chosen))
        counted = {t: rows_by_key(rows, index) for t, rows in written.items()}
        members = {
            key: min(
                (counted[t][key] for t in (ENTERING, EXISTING) if key in counted[t]), key=_line
            )
            for key in now
        }
        found.members.append(members)
        found.times.append(when)
        before = now
    return found


def _existing(meaning, before, now) -> list[tuple[str, ...]]:
    match meaning:
        case ExistingMeaning.MEMBERS:
            return list(now.values())
        case ExistingMeaning.STAYED:
            return [row for key, row in now.items() if key in before]
        case ExistingMeaning.PREVIOUS:
            return list(before.values())


def _with_odd_rows(rows, index: int, chosen: random.Random) -> list[tuple[str, ...]]:
    odd = list(rows)
    for row in rows:
        if chosen.random() < 0.2:
            odd.append(row)
        if chosen.random() < 0.2:
            other = list(row)
            other[1 - index] = chosen.choice(["", "A", row[1 - index] + " B"])
            odd.append(tuple(other))
    for _ in range(chosen.randint(0, 3)):
        keyless = [f"x{chosen.randint(0, 2)}"] * 3
        keyless[index] = ""
        odd.append(tuple(keyless))
    chosen.shuffle(odd)
    return odd


def _csv(rows, chosen: random.Random) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=chosen.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    writer.writerow([*HEADERS.values(), "plan"])
    writer.writerows(rows)
    return text.getvalue().encode()


def _line(row) -> bytes:
    """Return the canonical bytes of a row without commas or quotes."""
    return ",".join(row).encode()
