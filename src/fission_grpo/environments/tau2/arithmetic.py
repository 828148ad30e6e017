"""Bounds for tau2's `calculate`, which evaluates what the policy writes: `9**9**9` would never return."""

import ast

MAX_CHARACTERS = 1_000
"""Longest expression."""
MAX_BITS = 10_000
"""Largest whole number on the way. A result above 2**1024 is an error in tau2 anyway: it becomes a float."""

TOO_LARGE = "Expression too large to calculate"


def check_expression(expression: object) -> None:
    """Lets an expression pass that `calculate` answers in no time; what is no arithmetic it finds out itself.

    Raises:
        ValueError: the expression is too long, or a number in it grows too large.
    """
    if not isinstance(expression, str):
        return
    if len(expression) > MAX_CHARACTERS:
        raise ValueError(TOO_LARGE)
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return
    _bits(tree.body)


def _bits(node: ast.expr) -> int | None:
    """An upper bound for the bits of the whole number that an expression makes; None for a float, which has no such size."""
    match node:
        case ast.Constant(value=int() as value):
            return _checked(value.bit_length())
        case ast.UnaryOp(operand=operand):
            return _bits(operand)
        case ast.BinOp(left=left, op=operator, right=right):
            return _combined(_bits(left), operator, _bits(right))
        case _:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    _bits(child)
            return None


def _combined(left: int | None, operator: ast.operator, right: int | None) -> int | None:
    if left is None or right is None or isinstance(operator, ast.Div):
        return None
    if not isinstance(operator, ast.Pow):
        return _checked(left + right + 1)
    # The exponent is below 2**right.
    return _checked(max(left, 1) << right if right < MAX_BITS.bit_length() else MAX_BITS + 1)


def _checked(bits: int) -> int:
    if bits > MAX_BITS:
        raise ValueError(TOO_LARGE)
    return bits
