"""Copy-on-write databases: retail and airline hold thousands of records, of which an episode touches a few dozen.

Every environment has tables of its own that hold the records of one pristine database, loaded once a process. A record is
copied when it is looked up by its key, which is how tau2's tools reach all that they change; loops over a table only read.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any


class Pristine:
    """A table as it was loaded. Not to be changed.

    Args:
        write: the text of a record that the hash of the database is made of.
    """

    def __init__(self, records: dict[str, Any], write: Callable[[Any], str]) -> None:
        self.records = records
        self.write = write

    @cached_property
    def texts(self) -> dict[str, str]:
        return {key: self.write(record) for key, record in self.records.items()}


class SharedTable(dict[str, Any]):
    """A table whose records are the pristine ones until they are looked up."""

    def __init__(self, pristine: Pristine) -> None:
        super().__init__(pristine.records)
        self._pristine = pristine

    def __getitem__(self, key: str) -> Any:
        record = super().__getitem__(key)
        if record is self._pristine.records.get(key):
            record = copy.deepcopy(record)
            super().__setitem__(key, record)
        return record

    def get(self, key: str, default: Any = None) -> Any:
        if key in self:
            return self[key]
        return default

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        if key in self:
            self[key]  # what is taken out may be changed, too
        return super().pop(key, *default)

    def own(self) -> dict[str, Any]:
        """The records that differ from the pristine ones, or were copied to be changed."""
        return {key: record for key, record in self.items() if record is not self._pristine.records.get(key)}

    def missing(self) -> set[str]:
        """Keys of the pristine table that are here no more."""
        return self._pristine.records.keys() - self.keys()

    def texts(self) -> dict[str, str]:
        """By key, the texts of the records; only those that are no longer pristine are written anew."""
        changed = {key: self._pristine.write(record) for key, record in self.own().items()}
        return {key: text for key, text in self._pristine.texts.items() if key in self} | changed

    def overlay(self, own: dict[str, Any], missing: set[str]) -> None:
        """Replaces and takes out records."""
        self.update(own)
        for key in missing:
            del self[key]


Changes = dict[str, tuple[dict[str, Any], set[str]]]
"""By field of a database: the records that are its own, and the keys that are gone."""


class SharedDatabase:
    """The tables of a tau2 database, loaded once, of which any number of copies are made."""

    def __init__(self, database: Any) -> None:
        self._type = type(database)
        self._tables = {name: Pristine(getattr(database, name), _text) for name in self._type.model_fields}

    def copy(self) -> Any:
        """A database with tables of its own over the same records."""
        return self._type.model_construct(**{name: SharedTable(pristine) for name, pristine in self._tables.items()})

    def with_changes(self, changes: Changes) -> Any:
        """A copy with such changes."""
        database = self.copy()
        for name, table in _tables(database):
            table.overlay(*changes[name])
        return database


def changes_of(database: Any) -> Changes:
    """What a copy holds of its own."""
    return {name: (table.own(), table.missing()) for name, table in _tables(database)}


def database_hash(database: Any) -> str:
    """The hash that tau2's own `get_db_hash` gives, without writing out the records that are still pristine."""
    text = _object({name: _object(table.texts()) for name, table in _tables(database)})
    return hashlib.sha256(text.encode()).hexdigest()


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


def _text(record: Any) -> str:
    """A record as tau2 writes it for a hash."""
    return json.dumps(record.model_dump(), sort_keys=True, default=str)


def _object(texts: dict[str, str]) -> str:
    """A JSON object of members that are JSON texts already, sorted by key."""
    return "{" + ", ".join(f"{json.dumps(key)}: {texts[key]}" for key in sorted(texts)) + "}"
