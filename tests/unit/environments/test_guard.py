"""Whatever an environment raises is a failure of the infrastructure, said once."""

import logging
from collections.abc import Generator

import pytest

from fission_grpo.environments import guard
from fission_grpo.errors import FissionError, InfrastructureError, UserError


@pytest.fixture(autouse=True)
def nothing_said_yet() -> Generator[None]:
    guard._say_once.cache_clear()
    yield
    guard._say_once.cache_clear()


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), TimeoutError("x"), RecursionError("x")])
def test_an_exception_is_an_infrastructure_failure(error: Exception) -> None:
    with (
        pytest.raises(InfrastructureError, match=f"the environment raised {type(error).__name__}") as caught,
        guard.guarded(),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [UserError("no such task"), InfrastructureError("down"), KeyboardInterrupt()])
def test_what_is_meant_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, guard.guarded():
        raise error
    assert caught.value is error
    assert not isinstance(error, FissionError) or caught.value.__cause__ is None


def test_a_kind_is_said_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for error in (OSError("1"), OSError("2"), ValueError("3")):
            with pytest.raises(InfrastructureError), guard.guarded():
                raise error
    said = [(record.getMessage(), bool(record.exc_info)) for record in caplog.records]
    assert said == [
        ("An environment raised OSError; its episode is masked and counted", True),
        ("An environment raised ValueError; its episode is masked and counted", True),
    ]
