"""The fixtures and samples of the storage contract."""

from collections.abc import Mapping

import pytest

from ..storage import Storage

ODD_KEYS = (
    "a/b",
    "a/bc",
    "a-b",
    "a.b",
    "cohorts/1_a_2026-11-23T14:05_existing_vip.csv",
    "blank in/the name.csv",
    "plus+and%20percent&equals=.csv",
    "quote'and\"double.csv",
    "ünïcödé/日本語/😀.csv",
    "e\u0301 decomposed",
    "é composed",
    "_syncs/.hidden",
    "x" * 200,
)
"""Unusual keys, which a storage must keep apart and return unchanged."""

REFUSED_KEYS: Mapping[str, str] = {
    "empty": "",
    "leading slash": "/lead",
    "trailing slash": "trail/",
    "empty segment": "a//b",
    "leading dots": "../up",
    "inner dots": "a/../b",
    "leading dot": "./a",
    "trailing dot": "a/.",
    "line feed": "line\nfeed",
    "NUL": "nul\0",
    "DEL": "del\x7f",
    "1025 letters": "k" * 1025,
    "1026 bytes": "é" * 513,
    "surrogate": "\ud800",
}
"""Keys that a storage must refuse before it writes anything, by the reason for the refusal."""


def read(storage: Storage, key: str) -> bytes:
    """Return all bytes of an object."""
    with storage.open(key) as stream:
        return stream.read()


def keys(storage: Storage, prefix: str = "", start_after: str | None = None) -> list[str]:
    """Return the keys of a listing."""
    return [info.key for info in storage.list_objects(prefix, start_after=start_after)]


class StorageContractBase:
    """The fixture and the methods that a subclass of the contract overrides."""

    @pytest.fixture
    def storage(self) -> Storage:
        """Return a new, empty storage; override it."""
        raise NotImplementedError("override the fixture `storage` in your subclass")

    def reopen(self, storage: Storage) -> Storage:
        """Return the storage as another process would open it; by default itself."""
        return storage

    def assert_nothing_staged(self, storage: Storage) -> None:
        """Raise if a failed ``stage`` has left anything in the store; by default do nothing.

        Override it if your store can be inspected without the storage's methods.
        """
