"""Whether the hub can give a model, asked once and quickly: loading alone would retry for half a minute first."""

TIMEOUT = 5.0
"""Seconds for one answer."""


def hub_has(name: str) -> bool:
    """Whether the hub's cache on this machine holds the model's configuration, or the hub answers at all.

    That the hub knows no such model, or does not give it to this user, is an answer too: loading it then says so.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return True
    try:
        HfApi().model_info(name, timeout=TIMEOUT)
    except HfHubHTTPError:
        return True
    except Exception:
        # No route, no name service, a time-out: the HTTP client, and its exceptions, change with the hub's version.
        return False
    return True
