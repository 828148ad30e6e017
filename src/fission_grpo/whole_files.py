"""Files that appear only once they are whole: whoever finds one after a kill may take it for finished work."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a file beside its place, syncs it and puts it there; folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.partial")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
