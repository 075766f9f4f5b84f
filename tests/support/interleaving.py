"""Runs in which another process acts just before a chosen call of a storage."""

from collections.abc import Callable

from attrs import define

from amplitude_cohort_s3 import Storage
from amplitude_cohort_s3.testing.faulty_storage import Fault, FaultyStorage, When


@define(kw_only=True, eq=False)
class Interruption(Fault):
    """A fault at which another process acts, and the call then goes on.

    Attributes:
        act: What the other process does, in the same store.
    """

    act: Callable[[], object]

    def begin(self, name: str, key: str) -> When | None:
        number = len(self.calls)
        self.calls.append(name)
        if number == self.at:
            self.act()
        return None


def calls_of(work: Callable[[Storage], object], storage: Storage) -> list[str]:
    """Return the names of the calls of a run that nothing interrupts."""
    fault = Fault()
    work(FaultyStorage(storage, fault))
    return fault.calls


def interrupted(
    work: Callable[[Storage], object], storage: Storage, at: int, act: Callable[[Storage], object]
) -> object:
    """Run, while another process acts in the same storage just before a call."""
    return work(FaultyStorage(storage, Interruption(at=at, act=lambda: act(storage))))
