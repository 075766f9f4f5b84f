"""A model of a disk that loses, in a power cut, whatever was not flushed.

The model watches the real folder of a ``LocalStorage``. Each ``fsync`` of the process is a
moment at which the power may fail. Just before it, the model looks at all names in the folder:
a name that was added, removed or changed since its folder was flushed may or may not survive,
independently of all others. The bytes of a file survive once the file was flushed.
"""

import os
import re
from itertools import combinations
from pathlib import Path

from attrs import evolve, field, frozen

Names = dict[str, int]
"""The names in a folder, and the node that each of them leads to."""


@frozen
class Change:
    """A name that was changed and not flushed: it leads to another node, or to none."""

    folder: int
    name: str
    node: int | None

    def apply_to(self, names: Names):
        """Change the names in the folder."""
        if self.node is None:
            names.pop(self.name, None)
        else:
            names[self.name] = self.node


@frozen(kw_only=True)
class DiskState:
    """The content of a disk at one moment. The node 0 is the watched folder.

    Attributes:
        folders: The flushed names in each folder.
        files: The flushed bytes of each file.
        pending: The changes of names since their folders were flushed, oldest first.
        present: The bytes of each file as a process sees them.
    """

    folders: dict[int, Names] = field(factory=lambda: {0: {}})
    files: dict[int, bytes] = field(factory=dict)
    pending: tuple[Change, ...] = ()
    present: dict[int, bytes] = field(factory=dict)

    def after_power_cut(self, surviving):
        """Return the state after a power cut that only these pending changes survive."""
        return evolve(self._with(surviving), pending=(), present=dict(self.files))

    def as_seen(self):
        """Return the folders as a process sees them, with all pending changes."""
        return self._with(self.pending).folders

    def power_cuts(self, limit=5):
        """Yield the states after a power cut, one for each set of surviving changes.

        With more changes than the limit: none, all, each one alone, and all but each one.
        """
        count = len(self.pending)
        sizes = range(count + 1) if count <= limit else {0, 1, count - 1, count}
        for size in sizes:
            for surviving in combinations(self.pending, size):
                yield self.after_power_cut(surviving)

    def fingerprint(self):
        """Return the files by their folders, to find equal states; temporary names differ."""
        folders = self.as_seen()
        found = []
        todo = [("", 0)]
        while todo:
            path, folder = todo.pop()
            for name, node in folders[folder].items():
                if node in folders:
                    todo.append((f"{path}/{name}", node))
                else:
                    shown = "staged" if re.fullmatch("[0-9a-f]{32}", name) else name
                    found.append((path, shown, self.present.get(node, b"")))
        return tuple(sorted(found))

    def build(self, place: Path):
        """Create the folders and files in an empty folder, as a process sees them."""
        built = {}
        folders = self.as_seen()
        todo = [(place, 0)]
        while todo:
            path, folder = todo.pop()
            for name, node in folders[folder].items():
                if node in folders:
                    (path / name).mkdir()
                    todo.append((path / name, node))
                elif node in built:
                    os.link(built[node], path / name)
                else:
                    (path / name).write_bytes(self.present.get(node, b""))
                    built[node] = path / name

    def _with(self, changes):
        folders = {folder: dict(names) for folder, names in self.folders.items()}
        for change in changes:
            change.apply_to(folders[change.folder])
        return evolve(self, folders=folders)


class WatchedDisk:
    """Watches a folder while a function runs, and keeps the state before each ``fsync``.

    Args:
        folder: The folder.
        start: The state that the folder was built from; by default it is empty.
    """

    def __init__(self, folder: Path, start: DiskState | None = None) -> None:
        self._folder = folder
        self._state = start or DiskState()
        self._nodes = {}  # the number of each inode
        self._open = []  # open files keep their inodes from being used again
        self.states = [self._state]
        if start is not None:
            self._number_nodes(folder, 0)

    def watch(self, monkeypatch, act):
        """Run a function, and return its result."""
        real = os.fsync

        def fsync(descriptor):
            self._observe()
            self.states.append(self._state)
            real(descriptor)
            self._flush(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            result = act()
        self._observe()
        self.states.append(self._state)
        return result

    def _number_nodes(self, path, folder):
        """Give the nodes of a folder that was built from a state the numbers of that state."""
        self._node(path, folder)
        names = self._state.as_seen()[folder]
        for name, node in names.items():
            if node in self._state.as_seen():
                self._number_nodes(path / name, node)
            else:
                self._node(path / name, node)

    def _node(self, path, number=None):
        status = path.stat()
        key = status.st_dev, status.st_ino
        if key not in self._nodes:
            self._open.append(os.open(path, os.O_RDONLY))
            known = {*self._state.folders, *self._state.present, *self._nodes.values()}
            self._nodes[key] = (max(known, default=-1) + 1) if number is None else number
        return self._nodes[key]

    def _observe(self):
        """Note how the names and files differ from what a process saw before."""
        seen = self._state.as_seen()
        pending = list(self._state.pending)
        present = dict(self._state.present)
        folders = dict(self._state.folders)
        todo = [(self._folder, self._node(self._folder, 0))]
        while todo:
            path, folder = todo.pop()
            names = {}
            folders.setdefault(folder, {})
            for child in sorted(path.iterdir()):
                names[child.name] = node = self._node(child)
                if child.is_dir():
                    todo.append((child, node))
                else:
                    present[node] = child.read_bytes()
            before = seen.get(folder, {})
            changed = sorted(n for n in {*names, *before} if names.get(n) != before.get(n))
            pending += [Change(folder, name, names.get(name)) for name in changed]
        self._state = evolve(self._state, folders=folders, pending=tuple(pending), present=present)

    def _flush(self, descriptor):
        status = os.fstat(descriptor)
        node = self._nodes.get((status.st_dev, status.st_ino))
        if node is None:
            return
        if node in self._state.present:
            files = {**self._state.files, node: self._state.present[node]}
            self._state = evolve(self._state, files=files)
            return
        folders = dict(self._state.folders)
        names = dict(folders.get(node, {}))
        for change in self._state.pending:
            if change.folder == node:
                change.apply_to(names)
        folders[node] = names
        pending = tuple(change for change in self._state.pending if change.folder != node)
        self._state = evolve(self._state, folders=folders, pending=pending)

    def close(self):
        """Close the files that keep the inodes."""
        for descriptor in self._open:
            os.close(descriptor)
