"""Copy-on-write databases: retail and airline hold thousands of records, of which an episode touches a few dozen.

Every environment has tables of its own that hold the records of one pristine database, loaded once a process. A record is
copied when it is looked up by its key, which is how tau2's tools reach all that they change; loops over a table only read.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

Databases = tuple[Any, Any]
"""The agent's database and the user's, each None where the domain has none."""


class SharedTable(dict[str, Any]):
    """A table whose records are the pristine ones until they are looked up.

    Args:
        pristine: the table that is shared. Not to be changed.
    """

    def __init__(self, pristine: dict[str, Any]) -> None:
        super().__init__(pristine)
        self._pristine = pristine

    def __getitem__(self, key: str) -> Any:
        record = super().__getitem__(key)
        if record is self._pristine.get(key):
            record = copy.deepcopy(record)
            super().__setitem__(key, record)
        return record

    def get(self, key: str, default: Any = None) -> Any:
        if key in self:
            return self[key]
        return default

    def pop(self, key: str, *default: Any) -> Any:
        if key in self:
            self[key]  # what is taken out may be changed, too
        return super().pop(key, *default)

    def own(self) -> dict[str, Any]:
        """The records that differ from the pristine ones, or were copied to be changed."""
        return {key: record for key, record in self.items() if record is not self._pristine.get(key)}

    def missing(self) -> set[str]:
        """Keys of the pristine table that are here no more."""
        return self._pristine.keys() - self.keys()

    def overlay(self, own: dict[str, Any], missing: set[str]) -> None:
        """Replaces and takes out records."""
        self.update(own)
        for key in missing:
            del self[key]


Changes = dict[str, tuple[dict[str, Any], set[str]]]
"""By field of a database: the records that are its own, and the keys that are gone."""


def shared_copy(database: Any) -> Any:
    """A database with tables of its own over the records of another one."""
    tables = {name: SharedTable(getattr(database, name)) for name in type(database).model_fields}
    return type(database).model_construct(**tables)


def changes_of(database: Any) -> Changes:
    """What a copy holds of its own."""
    return {name: (table.own(), table.missing()) for name, table in _tables(database)}


def with_changes(pristine: Any, changes: Changes) -> Any:
    """A copy of a database with such changes."""
    database = shared_copy(pristine)
    for name, table in _tables(database):
        table.overlay(*changes[name])
    return database


def equal(ours: Any, theirs: Any) -> bool:
    """Whether two copies of one database hold equal records. Only the records that either has copied are compared."""
    return all(_equal_tables(table, getattr(theirs, name)) for name, table in _tables(ours))


def _equal_tables(ours: SharedTable, theirs: SharedTable) -> bool:
    if ours.keys() != theirs.keys():
        return False
    look_up: Callable[[SharedTable, str], Any] = dict.__getitem__  # comparing is no reason to copy
    return all(look_up(ours, key) == look_up(theirs, key) for key in ours.own().keys() | theirs.own().keys())


def _tables(database: Any) -> Iterator[tuple[str, SharedTable]]:
    for name in type(database).model_fields:
        yield name, getattr(database, name)
