"""Pages: one self-contained HTML file each, from a template. Whatever a model wrote is escaped by the template engine."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_ENVIRONMENT = Environment(
    loader=PackageLoader("fission_grpo.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(template: str, **values: Any) -> str:
    """A page as HTML text; `template` extends `page.html`."""
    return _ENVIRONMENT.get_template(template).render(values)
