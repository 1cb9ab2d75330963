"""Packaging of tfface: `pipelines/` and `saved_models/` install as `tfface.pipelines` and `tfface.saved_models`."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """The requirement lines of `name`, without comments."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", "-"))]


# What a few verbs need beyond requirements.txt; the tests need it all. The upper ends were tested on Python 3.11; the
# lower ones of onnxruntime and starlette let Python 3.10 in.
EXTRAS = {
    # What the page hands out holds a web page, too.
    "app": ["gradio>=6.31,<7", "k3d>=3.2,<4"],
    "html": ["k3d>=3.2,<4"],
    # ONNX files, and the runtimes that check what was written.
    "export": ["tf2onnx>=1.17,<1.18", "onnx>=1.23,<1.24", "onnxruntime>=1.23,<1.33", "ai-edge-litert>=2.3,<2.4"],
    "notebooks": ["notebook>=7,<8", "ipywidgets>=8,<9"],
    "serve": ["starlette>=0.47,<2", "uvicorn>=0.54,<0.60", "orjson>=3.13,<4"],
}

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
    extras_require={
        **EXTRAS,
        "test": [
            *requirements("requirements-test.txt"),
            *EXTRAS["export"],
            *EXTRAS["serve"],
            *EXTRAS["html"],
            *EXTRAS["app"],
        ],
    },
    entry_points={"console_scripts": ["tfface=tfface.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
