"""Divide the tenants between the shards of a journal, each a file of its own with month files of its own."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from cluster.costs.storage.schema import read_shards
from routing.errors import ConfigurationError

SETTING = "costs.shards"
MAX_CACHED_TENANTS = 65_536


@lru_cache(MAX_CACHED_TENANTS)
def shard_of(tenant_id: str, shards: int) -> int:
    """Return the shard of a tenant by rendezvous hashing: one more shard takes over only the tenants that it gets."""
    return max(range(shards), key=lambda shard: blake2b(f"{shard}|{tenant_id}".encode(), digest_size=8).digest())


def shard_path(journal_path: Path, shard: int) -> Path:
    """Return the path of a shard's journal; the first shard has the journal's own path."""
    return journal_path.with_name(shard_file_name(journal_path.name, shard))


def call_files_path(journal_path: Path, shard: int) -> Path:
    """Return the directory in which each node's model replicas keep a shard's call records."""
    return shard_path(journal_path, shard).with_suffix(".calls")


def shard_file_name(name: str, shard: int) -> str:
    """Return a file's name for a shard; the first shard has the name itself."""
    path = Path(name)
    return f"{path.stem}-shard-{shard}{path.suffix}" if shard else name


def shard_paths(journal_path: Path) -> list[Path]:
    """Return the files of all shards that exist, in order; the journal's own path where there is none."""
    name = re.compile(rf"{re.escape(journal_path.stem)}-shard-([1-9]\d*){re.escape(journal_path.suffix)}")
    found = {0: journal_path} if journal_path.exists() else {}
    if journal_path.parent.is_dir():
        for path in journal_path.parent.iterdir():
            if match := name.fullmatch(path.name):
                found[int(match[1])] = path
    return [found[shard] for shard in sorted(found)] or [journal_path]


def refuse_other_shards(journal_path: Path, shards: int) -> None:
    """Raise ConfigurationError if a file of the journal was begun with another number of shards.

    With another number some tenants would move to a shard that lacks what they have spent this month.
    """
    for path in shard_paths(journal_path):
        begun_with = _read_shards(path)
        if begun_with not in (None, shards):
            raise ConfigurationError(
                f"{SETTING} is {shards}, but {path} was begun with {begun_with}, and the spending of a tenant stays in"
                f" its shard. Set {SETTING} to {begun_with}; or, at the beginning of a month and with all costs sent,"
                " stop the app and name a new file in costs.journal_path, where every tenant's spending starts at 0.",
                SETTING,
            )


def _read_shards(path: Path) -> int | None:
    """Return the number of shards that a file was begun with; None for a file that is new, or no readable journal."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return read_shards(db)
    except (sqlite3.Error, OSError):
        # The shard of this file refuses it with the reason.
        return None
