"""The identity of a sync, by which a repeated run is recognised."""

from datetime import datetime

from attrs import frozen

from ..format.existing_meaning import ExistingMeaning
from ..format.schema import RowSchema


@frozen(kw_only=True)
class SyncIdentity:
    """The values by which a repeated run is recognised, so that schedulers may retry.

    Attributes:
        synced_at: The time in the names, in UTC.
        members_sha256: The digest of the members.
        schema: The columns, and the key that members are matched by.
        existing: The users that the file ``existing`` contains.
        keys: The keys of the three files.
    """

    synced_at: datetime
    members_sha256: str
    schema: RowSchema
    existing: ExistingMeaning
    keys: frozenset[str]
