"""One initial configuration for several drafts of the same API class."""

from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

Configuration = dict[str, Any]


def merge(drafts: Sequence[tuple[Configuration, Sequence[str]]]) -> Configuration:
    """The configuration in which all drafts can be played.

    Folders, queues and maps hold what any draft put into them. A single value, such as who is signed in, is taken from the
    draft that owns its key, else from the first draft.

    Args:
        drafts: per draft its configuration and the keys that it owns; no key has two owners.
    """
    configurations = [_with_common_root(config, drafts[0][0]) for config, _ in drafts]
    merged: Configuration = reduce(_united, configurations)
    for config, owned in drafts:
        merged |= {key: config[key] for key in owned if key in config}
    if "message_count" in merged:
        merged["message_count"] = len(merged["inbox"])
    return merged


def _with_common_root(config: Configuration, first: Configuration) -> Configuration:
    """A file system has one root folder, whose name is different in every draft."""
    if "root" not in config:
        return config
    (name,), (folder,) = first["root"], config["root"].values()
    return {**config, "root": {name: folder}}


def _united(first: Any, second: Any) -> Any:
    if isinstance(first, dict) and isinstance(second, dict):
        ours, theirs = cast(Configuration, first), cast(Configuration, second)
        both = {key: _united(value, theirs[key]) if key in theirs else value for key, value in ours.items()}
        return both | {key: value for key, value in theirs.items() if key not in ours}
    if isinstance(first, list) and isinstance(second, list):
        return [*cast(list[Any], first), *cast(list[Any], second)]
    return first
