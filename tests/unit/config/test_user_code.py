"""The code behind a function: which files and packages, found without importing any of them."""

from __future__ import annotations

import sys
import types

import pytest

from raymeter.config.user_code import code_of

FILES = {
    "mine_of_test.py": "import json\nimport torch\nfrom nets_of_test import layers\nfrom .nowhere import x\n\n\ndef build(shape, classes):\n    import late_of_test\n",
    "nets_of_test/__init__.py": "",
    "nets_of_test/layers.py": "from . import parts\nfrom .deep.leaf import leaf\n",
    "nets_of_test/parts.py": "import importlib\n\nimportlib.import_module('named_of_test')\n",
    "nets_of_test/deep/leaf.py": "import nets_of_test.layers\nimport kit_of_test.models\n",
    "nets_of_test/unused.py": "raise RuntimeError\n",
    "late_of_test.py": "import missing_of_test\n",
    "named_of_test.py": "this is no Python\n",
    "lib/site-packages/kit_of_test/__init__.py": "raise RuntimeError\n",
    "lib/site-packages/the_kit-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: the-kit\nVersion: 1.2\n",
    "lib/site-packages/the_kit-1.2.dist-info/top_level.txt": "kit_of_test\n",
    "lib/site-packages/the_kit-1.2.dist-info/RECORD": "kit_of_test/__init__.py,,\n",
}
OWN = {
    "mine_of_test.py",
    "nets_of_test/__init__.py",
    "nets_of_test/layers.py",
    "nets_of_test/parts.py",
    "nets_of_test/deep/leaf.py",
    "late_of_test.py",
    "named_of_test.py",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files of a user, and a package that they have installed."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "lib/site-packages"))
    return tmp_path


def test_imports_are_followed_through_the_users_own_files(folder):
    """Also within functions, relative ones, by a given name, and in circles; nothing is imported for it."""
    code = code_of("mine_of_test:build")
    assert set(code.files) == OWN
    assert code.main == "mine_of_test.py"
    assert not [name for name in sys.modules if name.partition(".")[0].endswith("_of_test")]


def test_installed_packages_count_by_their_version(folder):
    """By the name of what was installed, which is not that of the module; raymeter and Python are no one's choice."""
    packages = code_of("mine_of_test:build").packages
    assert set(packages) == {"the-kit", "torch"}
    assert packages["the-kit"] == "1.2"
    assert code_of("kit_of_test:build").files == {}


@pytest.mark.parametrize("name", sorted(OWN))
def test_an_edit_of_any_of_them_is_named(folder, name):
    """The file alone, by its module's place."""
    before = code_of("mine_of_test:build")
    (folder / name).write_text((folder / name).read_text() + "# edited\n")
    after = code_of("mine_of_test:build")
    assert after.changes_since(before) == (f"{name} has changed",)
    assert after.digest != before.digest
    (folder / name).write_text(FILES[name])
    assert code_of("mine_of_test:build").digest == before.digest


def test_the_same_files_elsewhere_are_the_same_code(folder, monkeypatch, tmp_path_factory):
    """A submitted job has them in another folder every time."""
    before = code_of("late_of_test:f")
    other = tmp_path_factory.mktemp("job")
    (other / "late_of_test.py").write_text(FILES["late_of_test.py"])
    monkeypatch.syspath_prepend(str(other))
    assert code_of("late_of_test:f") == before


def test_a_function_of_a_session_is_what_it_and_its_helpers_say(monkeypatch):
    """A notebook has no file: the functions and constants that are used count, others do not."""

    def session(scale, other, called="max"):
        module = types.ModuleType("notebook_of_test")
        code = (
            f"SCALE = {scale}\nOTHER = {other}\n\ndef helper(x):\n    return {called}(x, key=lambda y: y * SCALE)\n\n"
            "def predict(x):\n    return helper(x)\n"
        )
        exec(compile(code, "<cell>", "exec"), module.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return code_of("notebook_of_test:predict")

    first = session(1, 1)
    assert set(first.files) == {f"{name} of this session" for name in ("predict", "helper", "SCALE")}
    assert session(1, 2) == first
    assert session(2, 1).changes_since(first) == ("SCALE of this session has changed",)
    assert session(1, 1, "min").changes_since(first) == ("helper of this session has changed",)


def test_a_script_that_asks_is_known_by_its_file(folder, monkeypatch):
    """A function of `__main__` lies in the script that was started, and what that imports counts too."""
    script = types.ModuleType("__main__")
    script.__file__ = str(folder / "mine_of_test.py")
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert set(code_of("__main__:build").files) == OWN


def test_what_cannot_be_found_has_no_code():
    """What loads the function says so."""
    assert code_of("nowhere_of_test:f").files == {}
