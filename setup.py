"""Packaging of tfface: `pipelines/` and `saved_models/` install as `tfface.pipelines` and `tfface.saved_models`."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """The requirement lines of `name`, without comments."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", "-"))]


version = {}
exec((ROOT / "tfface" / "version.py").read_text(encoding="utf-8"), version)  # noqa: S102 - our own file

setup(
    name="tfface",
    version=version["__version__"],
    description="A detailed 3D face from a single photograph, in TensorFlow and Keras",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["tfface", "tfface.*"]) + ["tfface.pipelines", "tfface.saved_models"],
    package_dir={
        "tfface": "tfface",
        "tfface.pipelines": "pipelines",
        "tfface.saved_models": "saved_models",
    },
    package_data={
        "tfface.morphable": ["*.npz", "*.txt"],
        "tfface.saved_models": ["*.md", "*/*.npz", "*/*.json"],
    },
    install_requires=requirements("requirements.txt"),
    extras_require={"test": requirements("requirements-test.txt")},
    entry_points={"console_scripts": ["tfface=tfface.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
