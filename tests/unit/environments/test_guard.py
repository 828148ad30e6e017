"""Whatever an environment raises is a failure of the infrastructure, said once."""

import logging

import pytest

from fission_grpo.environments.guard import guarded
from fission_grpo.errors import FissionError, InfrastructureError, UserError


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), TimeoutError("x"), RecursionError("x")])
def test_an_exception_is_an_infrastructure_failure(error: Exception) -> None:
    with (
        pytest.raises(InfrastructureError, match=f"the environment raised {type(error).__name__}") as caught,
        guarded(),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [UserError("no such task"), InfrastructureError("down"), KeyboardInterrupt()])
def test_what_is_meant_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, guarded():
        raise error
    assert caught.value is error
    assert not isinstance(error, FissionError) or caught.value.__cause__ is None


def test_a_kind_is_said_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Exception): ...

    class Gone(Exception): ...

    with caplog.at_level(logging.WARNING):
        for error in (Broken("1"), Broken("2"), Gone("3")):
            with pytest.raises(InfrastructureError), guarded():
                raise error
    said = [(record.getMessage(), bool(record.exc_info)) for record in caplog.records]
    assert said == [
        ("An environment raised Broken; its episode is masked and counted", True),
        ("An environment raised Gone; its episode is masked and counted", True),
    ]
