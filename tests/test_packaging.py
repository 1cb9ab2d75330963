"""What pip installs: one wheel with every package, the face model and the trained weights."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    # A copy, so that no build folder or egg-info appears in the checkout.
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "notebooks/")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, tree]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_packages_model_and_weights_and_nothing_at_the_top(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "tfface/__init__.py",
        "tfface/pipelines/train_coarse.py",
        "tfface/morphable/default_model.npz",
        "tfface/saved_models/release/config.json",
        "tfface/saved_models/release/coarse.npz",
        "tfface/saved_models/release/fine.npz",
    ):
        assert name in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"tfface"}


def test_installed_copy_works_from_any_folder(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import tfface, pathlib; from tfface.networks.pretrained import load_pretrained; load_pretrained(); "
        "print(pathlib.Path(tfface.__file__).parent)"
    )
    done = subprocess.run(
        # -P and the path in front keep the editable checkout out of the way.
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "site" / "tfface")
