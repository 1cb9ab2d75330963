"""Reconstructs the face in a public-domain portrait (astronaut Eileen Collins, NASA, from scikit-image)."""

import argparse

from tfface.commands.reconstruct import ModelError, add_shared, all_formats, load_reconstructor, prepare_out
from tfface.errors import InputError

HELP = "reconstruct a sample portrait and say where to look"


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="folder for the results (default: out/demo)")
    add_shared(parser)


def run(arguments: argparse.Namespace) -> int:
    """Does the work; returns the exit code."""
    from skimage.data import astronaut

    prepare_out(arguments.out)
    try:
        reconstructor = load_reconstructor(arguments.model)
    except ModelError as error:
        raise InputError(str(error)) from error
    faces = reconstructor(astronaut(), detector=arguments.detector, max_faces=1)
    if not faces:
        raise InputError(f"no face found in the sample portrait by {arguments.detector}; try the other detector")
    files = faces[0].save(arguments.out, all_formats(), name="astronaut")
    yaw, pitch, roll = (round(float(angle)) for angle in faces[0].euler_degrees)
    print(f"One face: yaw {yaw}°, pitch {pitch}°, roll {roll}°. Look at")
    for what, name in (
        ("preview picture", "astronaut_preview.png"),
        ("the head turning", "astronaut_turntable.gif"),
        ("mesh with texture (mm)", "astronaut.obj"),
        ("mesh with texture (glTF)", "astronaut.glb"),
        ("mesh with blendshapes", "astronaut_arkit.glb"),
        ("surface with detail (mm)", "astronaut_detail.ply"),
        ("depth map", "astronaut_depth.png"),
        ("normal map", "astronaut_normals.png"),
        ("pose, camera, blendshapes", "astronaut.json"),
    ):
        print(f"  {what:26} {files[name]}")
    return 0
