"""Whatever an environment raises that is not its business to raise: a failure of the infrastructure, said once."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

from fission_grpo.errors import FissionError, InfrastructureError

_LOGGER = logging.getLogger(__name__)


@contextmanager
def guarded() -> Generator[None]:
    """Around calls of an environment, which may be anybody's.

    Raises:
        InfrastructureError: in place of any exception but this package's own. The first of a kind is logged with its
            traceback: what is masked and counted from there on may be a mistake in the environment.
    """
    try:
        yield
    except FissionError:
        raise
    except Exception as error:
        _say_once(type(error))
        raise InfrastructureError(f"the environment raised {type(error).__name__}: {error}") from error


@cache
def _say_once(kind: type[Exception]) -> None:
    _LOGGER.warning("An environment raised %s; its episode is masked and counted", kind.__name__, exc_info=True)
