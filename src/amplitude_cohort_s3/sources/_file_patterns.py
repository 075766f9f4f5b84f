"""Glob patterns for the files of a folder and for the keys of S3, with one meaning for both.

A path is compared with a pattern name by name, from the left. While a folder is searched, the
comparison continues from each name to the names below it, so folders that can't match are never
opened.
"""

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import frozen

from ._file_errors import member_file_error

MAGIC = re.compile(r"[*?[]")
"""The characters of which a pattern has at least one."""

Places = frozenset[int]
"""The parts of a pattern that may match the next name; the place after the last part is its end."""


@frozen
class Pattern:
    """The names of a path as a pattern: ``*``, ``?`` and ``[...]`` in a name, ``**`` for folders.

    A name that begins with ``_`` or ``.`` matches only a part that begins with this character.

    Attributes:
        parts: The pattern of each name.

    >>> pattern = Pattern(("**", "*.csv"))
    >>> pattern.matches("a/b/c.csv"), pattern.matches("c.csv"), pattern.matches("_tmp/c.csv")
    (True, True, False)
    """

    parts: tuple[str, ...]

    @property
    def start(self) -> Places:
        """The places before the first name."""
        return self._with_no_folders({0})

    def after(self, places: Places, name: str) -> Places:
        """Return the places after another name; empty if no path that begins so can match."""
        found = set[int]()
        for place in places - {len(self.parts)}:
            part = self.parts[place]
            if name.startswith(("_", ".")) and not part.startswith(name[0]):
                continue
            if part == "**":
                found.add(place)
            elif fnmatchcase(name, part):
                found.add(place + 1)
        return self._with_no_folders(found)

    def is_end(self, places: Places) -> bool:
        """Return whether the names so far are a path that matches."""
        return len(self.parts) in places

    def matches(self, path: str) -> bool:
        """Return whether a path with slashes matches."""
        places = self.start
        for name in path.split("/"):
            places = self.after(places, name)
        return self.is_end(places)

    def _with_no_folders(self, places: set[int]) -> Places:
        """Add the places after ``**``, which may also match no folder."""
        found = set(places)
        for place, part in enumerate(self.parts):
            if place in found and part == "**":
                found.add(place + 1)
        return frozenset(found)


def split_pattern(path: str) -> tuple[str, Pattern]:
    """Return the folder in which a pattern searches, and the pattern of the paths below it.

    A path that ends in a slash is a folder, all of whose files match.

    >>> split_pattern("unload/day=*/*.csv")
    ('unload/', Pattern(parts=('day=*', '*.csv')))
    """
    if path.endswith("/") or not path:
        path += "**"
    literal = MAGIC.split(path, maxsplit=1)[0]
    folder = literal[: literal.rfind("/") + 1]
    return folder, Pattern(tuple(path[len(folder) :].split("/")))


def matching_files(folder: Path, pattern: Pattern) -> Iterator[str]:
    """Yield the files in a folder that match, in any order.

    Links to folders are followed, and each folder is searched once, so a loop of links ends. A
    link to a file that does not exist is yielded too: the members in it are missing.

    Raises:
        MemberFileNotFoundError, MemberFileError: A folder that may contain files can't be read.
            It is not left out, because the cohort would silently be smaller.
    """
    seen = set[tuple[str, Places]]()
    to_search = [(folder, pattern.start)]
    while to_search:
        inner, places = to_search.pop()
        if (found := (os.path.realpath(inner), places)) in seen:
            continue
        seen.add(found)
        try:
            with os.scandir(inner) as entries:
                for entry in entries:
                    after = pattern.after(places, entry.name)
                    path = inner / entry.name
                    if after and entry.is_dir():
                        to_search.append((path, after))
                    elif pattern.is_end(after) and (entry.is_file() or not path.exists()):
                        yield str(path)
        except OSError as error:
            raise member_file_error(error, str(inner)) from None
