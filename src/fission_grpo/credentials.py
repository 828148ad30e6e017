"""Keys of endpoints: read from the environment, sent to the endpoint, and written nowhere.

Run folders, logs and reports are shared. So no setting that they repeat may hold a secret, and what an endpoint says is
cleared of the key it was given before it is kept or shown.
"""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

API_KEY = "OPENAI_API_KEY"
SHORTEST_SECRET = 12
"""Characters from which a key is a secret: local servers are given words such as `none`, which may stand in any text."""


def api_key() -> str:
    """The user's key, read anew each time so that no object carries it."""
    return os.environ.get(API_KEY, "").strip()


def without_key(text: str) -> str:
    """What an endpoint said, without the key, which it may repeat."""
    key = api_key()
    return text.replace(key, "***") if len(key) >= SHORTEST_SECRET else text


def message_without_key(message: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a chat message: its text, and the arguments of its calls."""
    return json.loads(without_key(json.dumps(message)))


def address_fault(address: str) -> str | None:
    """Why the address of an endpoint cannot be a setting, or None. The reason does not repeat the address.

    >>> address_fault("http://localhost:8000/v1")
    >>> address_fault("http://me:secret@host/v1")
    'holds a user name or password, which would stand in run folders and logs; put the key into OPENAI_API_KEY'
    """
    try:
        parts = urlsplit(address)
        found = "a user name or password" if "@" in parts.netloc else "a query" if parts.query or parts.fragment else None
    except ValueError:
        return "is no address"
    return f"holds {found}, which would stand in run folders and logs; put the key into {API_KEY}" if found else None
