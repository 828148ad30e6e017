"""The kinds of corruption, by name."""

from official_bfcl.calls import Style
from official_bfcl.kinds import arguments, messages, names, prompting, qwen_fc, strings, superfluous, turns
from official_bfcl.play import Kind

COMMON = [
    *turns.KINDS,
    *superfluous.KINDS,
    *names.KINDS,
    *arguments.KINDS,
    *strings.KINDS,
    *messages.KINDS,
]


def kinds_of(style: Style) -> dict[str, Kind]:
    own = qwen_fc.KINDS if style == "qwen-fc" else prompting.KINDS
    return {kind.__name__: kind for kind in [*COMMON, *own]}
