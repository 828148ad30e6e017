"""Pages: one self-contained HTML file each, from a template. Whatever a model wrote is escaped by the template engine."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fission_grpo.reports.texts import said, visible


def _shown(value: object) -> object:
    """What an expression of a template writes: text that is no markup of ours is visible, and commands nothing."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_ENVIRONMENT = Environment(
    loader=PackageLoader("fission_grpo.reports"),
    autoescape=True,
    finalize=_shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(visible=visible, said=said)


def render_page(template: str, *, scripts: Sequence[str] = (), connects: bool = False, **values: Any) -> str:
    """A page as HTML text.

    Args:
        template: extends `page.html`.
        scripts: files beside the templates. The page's policy names them by hash: no other script runs in it.
        connects: whether they may ask the server that the page came from.
    """
    sources = [_script(name) for name in scripts]
    policy = content_security_policy(sources, connects=connects)
    return _ENVIRONMENT.get_template(template).render(values, scripts=sources, policy=policy)


def render_section(template: str, **values: Any) -> Markup:
    """A part of a page, to be handed to one."""
    return Markup(_ENVIRONMENT.get_template(template).render(values))


def content_security_policy(scripts: Sequence[str], *, connects: bool = False) -> str:
    """What a page may load: nothing from anywhere, and of scripts those given."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in scripts)
    parts = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    return "; ".join([*parts, *([f"script-src {hashes}"] if hashes else []), *(["connect-src 'self'"] if connects else [])])


@cache
def _script(name: str) -> Markup:
    return Markup(files("fission_grpo.reports").joinpath("templates", name).read_text(encoding="utf-8"))
