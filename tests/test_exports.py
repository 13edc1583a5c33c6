"""What the package offers, and what importing it loads."""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import slmroute
from slmroute import errors

PACKAGE = Path(slmroute.__file__).parent

FRAMEWORKS = ("langchain", "llama_index", "langgraph", "langsmith")

OWN_TREES = ("slmroute.cli", "slmroute.local", "slmroute.ledger.migrations")
"""These stand on top of the core: commands may build a router, the server needs what its extra brings, and migrations
are run by Alembic."""


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter and give the modules that it loaded beyond those of an empty program."""
    script = (
        f"import sys; before = set(sys.modules)\n{code}\n"
        "import json; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    # -I: nothing from the environment or the current folder; -S would hide the installed package itself.
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_of_the_core() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages([str(PACKAGE)], prefix="slmroute.")]
    return [name for name in found if not name.startswith(OWN_TREES)]


def imports_under_type_checking() -> dict[str, str]:
    """Read the names that type checkers see, with the modules they come from."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: node.module or ""
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_all_is_sorted_and_without_repeats() -> None:
    assert slmroute.__all__ == sorted(set(slmroute.__all__))


@pytest.mark.parametrize("name", slmroute.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(slmroute, name) is not None
    assert name in dir(slmroute)


def test_type_checkers_see_exactly_the_public_names() -> None:
    seen = imports_under_type_checking()
    assert {*seen, "__version__"} == {*slmroute.__all__, *slmroute._WITH_EXTRAS}


def test_names_are_looked_up_where_type_checkers_see_them() -> None:
    seen = imports_under_type_checking()
    homes = {name: f"slmroute.{slmroute._HOMES.get(name, 'errors')}" for name in seen if name in slmroute.__all__}
    assert homes.items() <= seen.items()


def test_every_error_is_public() -> None:
    assert set(errors.__all__) <= set(slmroute.__all__)


def test_every_public_class_has_a_docstring() -> None:
    classes = [value for name in slmroute.__all__ if inspect.isclass(value := getattr(slmroute, name))]
    assert classes
    for kind in classes:
        assert kind.__doc__, kind


@pytest.mark.parametrize("name", slmroute._WITH_EXTRAS)
def test_names_that_need_an_extra_are_there_with_it(name: str) -> None:
    assert inspect.isclass(getattr(slmroute, name))


def test_without_the_extra_only_that_name_is_missing() -> None:
    code = (
        "import sys, pydoc; sys.modules['sqlalchemy'] = None\n"
        "from slmroute import *; import slmroute; pydoc.render_doc(slmroute)\n"
        "try:\n    from slmroute import Ledger\n"
        "except slmroute.MissingExtra as error:\n    assert error.extra == 'ledger'\n"
        "else:\n    raise SystemExit('it was imported')"
    )
    loaded_by(code)


@pytest.mark.parametrize(
    ("package", "missing", "extra"),
    [("langchain_slmroute", "langchain_core", "langchain"), ("llama_index_slmroute", "llama_index", "llama-index")],
)
def test_an_adapter_without_its_framework_names_the_extra(package: str, missing: str, extra: str) -> None:
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {missing!r}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        f"try:\n    import {package}\n"
        f"except __import__('slmroute').MissingExtra as error:\n    assert error.extra == {extra!r}\n"
        "else:\n    raise SystemExit('it was imported')"
    )
    loaded_by(code)


def test_a_budget_in_a_database_names_the_extra_it_needs(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from slmroute import Budget, MissingExtra\n"
        f"try:\n    Budget(day=1, store={f'sqlite:///{tmp_path}/b.db'!r})\n"
        "except MissingExtra as error:\n    assert error.extra == 'ledger'\n"
        "else:\n    raise SystemExit('it was opened')"
    )
    loaded_by(code)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Teir'"):
        slmroute.Teir  # noqa: B018


def test_a_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from slmroute import *", names)  # noqa: S102
    assert set(slmroute.__all__) <= set(names)


def test_importing_the_package_loads_the_standard_library_only() -> None:
    roots = {name.partition(".")[0] for name in loaded_by("import slmroute")}
    assert roots - set(sys.stdlib_module_names) == {"slmroute"}


def test_importing_the_package_loads_no_module_of_its_own() -> None:
    assert {name for name in loaded_by("import slmroute") if name.startswith("slmroute")} == {"slmroute"}


def test_the_settings_of_a_router_need_no_third_party_module() -> None:
    code = "from slmroute import Confidence, FewShotClassifier, Policy, RouteRequest, Tier, route_context, route_costs"
    roots = {name.partition(".")[0] for name in loaded_by(code)}
    assert roots - set(sys.stdlib_module_names) == {"slmroute"}


def test_no_module_of_the_core_loads_a_framework() -> None:
    modules = modules_of_the_core()
    assert {"slmroute.flow", "slmroute.config", "slmroute.presets", "slmroute.classify.embedded"} <= set(modules)
    loaded = loaded_by(f"from importlib import import_module\nfor name in {modules}: import_module(name)")
    assert not {name for name in loaded if name.startswith((*FRAMEWORKS, "langchain_slmroute", "llama_index_slmroute"))}
