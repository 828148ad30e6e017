"""bfcl-eval is imported late, checked, and kept from writing beside its own code."""

import os
import sys

import pytest

from fission_grpo.environments.bfcl.package import package_module
from fission_grpo.errors import UserError


def test_a_missing_package_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    package_module.cache_clear()
    monkeypatch.setitem(sys.modules, "bfcl_eval", None)
    with pytest.raises(UserError, match="fission doctor --install bfcl"):
        package_module()
    package_module.cache_clear()


def test_its_files_go_elsewhere() -> None:
    folder = package_module().__file__
    assert folder is not None
    assert not os.environ["BFCL_PROJECT_ROOT"].startswith(os.path.dirname(os.path.dirname(folder)))  # noqa: PTH120
