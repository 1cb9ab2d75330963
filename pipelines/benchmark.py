"""How fast things are: `python -m tfface.pipelines.benchmark export` (or `synthetic`).

`export` times every stage and every exported format, per face, beside two yardsticks: the floating point operations of
the networks and the face model as plain matrix products, and a z-buffer in plain C.
"""

import argparse
import ctypes
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tfface.errors import InputError

FORMATS = ("savedmodel", "tflite", "tflite-int8", "onnx")
"""What is timed. Files that keep their weights as float16 compute in float32 and take the time of float32 ones."""

# The obvious z-buffer: `rasterize` with cull=True, on one mesh.
Z_BUFFER_C = r"""
#include <math.h>
void z_buffer(const float *v, const int *t, int triangles, int height, int width, float *depth, int *seen) {
  for (int i = 0; i < height * width; i++) { depth[i] = -INFINITY; seen[i] = -1; }
  for (int i = 0; i < triangles; i++) {
    const float *a = v + 3 * t[3 * i], *b = v + 3 * t[3 * i + 1], *c = v + 3 * t[3 * i + 2];
    float area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    if (!(area < 0)) continue;
    int x0 = fmaxf(ceilf(fminf(a[0], fminf(b[0], c[0])) - .5f), 0);
    int x1 = fminf(floorf(fmaxf(a[0], fmaxf(b[0], c[0])) - .5f), width - 1);
    int y0 = fmaxf(ceilf(fminf(a[1], fminf(b[1], c[1])) - .5f), 0);
    int y1 = fminf(floorf(fmaxf(a[1], fmaxf(b[1], c[1])) - .5f), height - 1);
    for (int y = y0; y <= y1; y++)
      for (int x = x0; x <= x1; x++) {
        float px = x + .5f, py = y + .5f;
        float l1 = ((px - a[0]) * (c[1] - a[1]) - (py - a[1]) * (c[0] - a[0])) / area;
        float l2 = ((b[0] - a[0]) * (py - a[1]) - (b[1] - a[1]) * (px - a[0])) / area;
        float l0 = 1 - l1 - l2;
        if (l0 < -1e-5f || l1 < -1e-5f || l2 < -1e-5f) continue;
        float z = l0 * a[2] + l1 * b[2] + l2 * c[2];
        if (z > depth[y * width + x]) { depth[y * width + x] = z; seen[y * width + x] = i; }
      }
  }
}
"""


def compile_z_buffer(folder: Path):
    """The C z-buffer, compiled into `folder`: (vertices `[V, 3]`, triangles `[T, 3]`, size) → (depth, triangle).

    Both are `[size, size]`; depth is −inf and the triangle −1 off the mesh. None where there is no C compiler.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "z_buffer.c", folder / "z_buffer.so"
    source.write_text(Z_BUFFER_C)
    command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library), "-lm"]
    subprocess.run(command, check=True, capture_output=True)
    function = ctypes.CDLL(str(library)).z_buffer
    function.restype = None

    def pointer(array):
        return array.ctypes.data_as(ctypes.c_void_p)

    def z_buffer(vertices, triangles, size):
        vertices, triangles = np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(triangles, np.int32)
        depth, seen = np.empty((size, size), np.float32), np.empty((size, size), np.int32)
        function(pointer(vertices), pointer(triangles), len(triangles), size, size, pointer(depth), pointer(seen))
        return depth, seen

    return z_buffer


def multiplications(function) -> float:
    """Floating point operations, two per multiplication, of a concrete function's convolutions and matrix products.

    Unknown dimensions, such as the batch, count as 1.
    """
    total = 0.0
    for operation in function.graph.get_operations():
        kind = operation.type
        if kind not in ("Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2"):
            continue
        output = np.prod([size or 1 for size in operation.outputs[0].shape])
        if kind == "Conv2D":
            total += 2 * output * np.prod(operation.inputs[1].shape[:3])
        elif kind == "Conv2DBackpropInput":
            # Every input pixel goes into each tap of the kernel.
            source = operation.inputs[2].shape
            total += 2 * np.prod([size or 1 for size in source]) * np.prod(operation.inputs[1].shape[:3])
        elif kind == "DepthwiseConv2dNative":
            total += 2 * output * np.prod(operation.inputs[1].shape[:2])
        else:
            flag = "transpose_a" if kind == "MatMul" else "adj_x"
            total += 2 * output * operation.inputs[0].shape[-2 if operation.get_attr(flag) else -1]
    return float(total)


def milliseconds(run, runs: int) -> float:
    """Median time of a call, ms; two calls before it aren't counted."""
    times = []
    for _ in range(runs + 2):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[2:])


def times_as_long(run, yardstick, runs: int) -> float:
    """How many times as long a call of `run` takes as one of `yardstick`: median of calls in turns.

    Each is compared with the one just before it, because a machine that others share isn't as fast all the time.
    """
    ratios = []
    for _ in range(runs + 2):
        begun = time.perf_counter()
        yardstick()
        between = time.perf_counter()
        run()
        ratios.append((time.perf_counter() - between) / (between - begun))
    return statistics.median(ratios[2:])


def stages(networks, graph, crops) -> dict:
    """Each stage of the path as a function without arguments, on crops `[B, S, S, 3]`."""
    import tensorflow as tf

    from tfface.geometry.depth import normals_from_depth
    from tfface.morphable import representation
    from tfface.networks.coarse_net import network_input
    from tfface.rendering.visibility import coverage, interpolate, rasterize

    size, model = networks.coarse.config.size, networks.face_model
    triangles = model.triangles
    image = tf.constant(crops[..., :1])
    r = networks.coarse(image, training=False)
    feedback = networks.coarse.feedback(r)
    network_view = network_input(image, feedback)
    vertices = representation.vertices_image(model, r, size)
    seen = rasterize(vertices, triangles, size, size, cull=True)
    depth = interpolate(seen, triangles, vertices[:, :, 2:])
    mask = coverage(seen)

    def fixed(function, *inputs):
        compiled = tf.function(function, autograph=False).get_concrete_function(
            *(tf.TensorSpec(x.shape, x.dtype) for x in inputs)
        )
        return lambda: compiled(*inputs)

    return {
        "CoarseNet, one pass without feedback": fixed(
            lambda x: networks.coarse.network(x, training=False), network_view
        ),
        "vertices of r": fixed(lambda r: representation.vertices_image(model, r, size), r),
        "visibility (z-buffer)": fixed(lambda v: tuple(rasterize(v, triangles, size, size, cull=True)), vertices),
        "feedback of r, all of it": fixed(networks.coarse.feedback, r),
        "depth, given visibility": fixed(
            lambda t, b, v: interpolate(type(seen)(t, b), triangles, v[:, :, 2:]), *seen, vertices
        ),
        "FineNet": fixed(
            lambda i, d, m: networks.fine({"image": i, "depth": d, "mask": m}, training=False), image, depth, mask
        ),
        "normals": fixed(normals_from_depth, depth, mask),
        "whole path in TensorFlow": fixed(graph, tf.constant(crops)),
    }


def lite_visibility(triangles, meshes, size: int, threads: int):
    """The z-buffer alone, as a TFLite file has it, as a function without arguments.

    Args:
      triangles: `[T, 3]`.
      meshes: `[B, V, 3]` float32, px of a crop.
      size: S of the crop.
      threads: that TFLite may use.

    Returns:
      A function that returns the triangle that each pixel sees, `[B, S, S]`.
    """
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from tfface.rendering.visibility import rasterize

    rasterizer = tf.function(
        lambda vertices: rasterize(vertices, triangles, size, size, cull=True)._asdict(), autograph=False
    )
    concrete = rasterizer.get_concrete_function(tf.TensorSpec(meshes.shape, tf.float32))
    file = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    interpreter = Interpreter(model_content=file, num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], meshes)
    (triangle,) = [out["index"] for out in interpreter.get_output_details() if out["dtype"] == np.int32]

    def run():
        interpreter.invoke()
        return interpreter.get_tensor(triangle)

    return run


def _worker(options) -> list[dict]:
    """The figures of one number of threads, in a process that has no more."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.worker)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from tfface.export.graph import FaceGraph
    from tfface.networks.pretrained import load_pretrained

    networks = load_pretrained(options.model)
    size = networks.coarse.config.size
    graph = FaceGraph(networks, size)
    one = tf.function(graph, autograph=False).get_concrete_function(tf.TensorSpec([1, size, size, 3], tf.float32))
    operations = multiplications(one)
    square = tf.random.stateless_normal([1024, 1024], [0, 0])
    count = max(round(operations / (2 * 1024**3)), 1)

    def products():
        for _ in range(count):
            tf.matmul(square, square).numpy()

    # Products come whole: a face is so much of them.
    part = operations / (2 * 1024**3) / count
    rows = []
    for batch in options.batches:
        where = {"threads": options.worker, "batch": batch}
        name = f"the same {operations / 1e9:.2f} GFLOP as matrix products"
        rows.append({"stage": name, **where, "ms_per_face": part * milliseconds(products, options.runs)})
        times, ratios = _times(options, networks, graph, batch, products, part)
        rows += [{"stage": stage, **where, "ms_per_face": ms / batch} for stage, ms in times.items()]
        rows += [{"stage": stage, **where, "times_as_long": ratio} for stage, ratio in ratios.items()]
    return rows


def _times(options, networks, graph, batch: int, products, part: float) -> tuple[dict, dict]:
    """Milliseconds of one batch: by stage, by exported file, and of the z-buffer in C; and how many times as long as
    the operations of as many faces as `products`, of which one face is a `part`, or the z-buffer in C they take."""
    import tensorflow as tf

    from tfface.export.runners import open_exported
    from tfface.morphable import representation
    from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld

    size, triangles = graph.size, networks.face_model.triangles
    world = SyntheticWorld(networks.face_model, SyntheticConfig(size=size, batch=batch))
    crops = np.repeat(world.draw(tf.constant([0, batch], tf.int64))["image"].numpy(), 3, axis=-1)
    times = {name: milliseconds(run, options.runs) for name, run in stages(networks, graph, crops).items()}
    ratios = {}
    for name in options.formats:
        run = functools.partial(open_exported(Path(options.folder, exported_name(name, batch)), options.worker), crops)
        times[f"whole path in {name}"] = milliseconds(run, options.runs)
        ratio = times_as_long(run, products, options.runs) / (part * batch)
        ratios[f"whole path in {name}, times the products"] = ratio
    meshes = representation.vertices_image(networks.face_model, networks.coarse(crops[..., :1]), size).numpy()
    z_buffer = compile_z_buffer(Path(options.folder))

    def in_c():
        for mesh in meshes:
            z_buffer(mesh, triangles, size)

    if z_buffer and options.worker == 1:
        times["visibility in plain C"] = milliseconds(in_c, options.runs)
    if "tflite" in options.formats:
        run = lite_visibility(triangles, meshes, size, options.worker)
        times["visibility in TFLite"] = milliseconds(run, options.runs)
        if z_buffer and options.worker == 1:
            ratios["visibility in TFLite, times C"] = times_as_long(run, in_c, 5 * options.runs)
    return times, ratios


def exported_name(name: str, batch: int) -> str:
    """The file that is timed as format `name`, such as "tflite-int8", with batches of `batch`."""
    kind = name.partition("-")[0]
    return f"{name}-{batch}.tflite" if kind == "tflite" else f"face.{kind}"


def export_benchmark(options) -> dict:
    """Exports every format, times all of it, and returns {"rows": […]}.

    Each row has "stage", "threads" and "batch", and either "ms_per_face" or "times_as_long", see `times_as_long`.
    """
    if options.worker:
        print(json.dumps(_worker(options)))
        return {}
    from tfface.export import ExportConfig, export
    from tfface.networks.pretrained import load_pretrained

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        networks = load_pretrained(options.model)
        size = networks.coarse.config.size
        for name in options.formats:
            kind, _, weights = name.partition("-")
            # A .tflite file has one batch size; the others take any.
            for batch in options.batches if kind == "tflite" else [1]:
                config = ExportConfig(kind, size, weights or "float32", batch)
                export(networks, Path(folder, exported_name(name, batch)), config)
        for threads in options.threads:
            rows += _run_worker(options, threads, folder)
    return {"rows": rows}


def _run_worker(options, threads: int, folder: str) -> list[dict]:
    command = [sys.executable, "-m", "tfface.pipelines.benchmark", "export", "--worker", str(threads)]
    command += ["--folder", folder, "--runs", str(options.runs), "--formats", *options.formats]
    command += ["--batches", *map(str, options.batches), *(["--model", options.model] if options.model else [])]
    # Read when the libraries are loaded, so only another process can have another number.
    limits = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(limits, str(threads)) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _export_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("--model", metavar="DIR", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=20, help="calls of which the median is taken (default: 20)")
    parser.add_argument("--formats", nargs="*", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)


def _synthetic_arguments(parser):
    from tfface.pipelines import benchmark_synthetic

    benchmark_synthetic.configure(parser)


def _synthetic(options) -> dict:
    from tfface.pipelines import benchmark_synthetic

    return benchmark_synthetic.run(options)


BENCHMARKS = {
    "export": (_export_arguments, export_benchmark, "every stage and exported format, ms per face"),
    "synthetic": (_synthetic_arguments, _synthetic, "what a synthetic face costs, and what training spends on one"),
}
"""Name → (adds its arguments, runs and returns {"rows": […]}, a line of help). Add others here."""


def show(rows: list[dict]):
    """Prints rows as a table: one line per stage, one column per (threads, batch)."""
    columns = sorted({(row["threads"], row["batch"]) for row in rows})
    values = {
        (row["stage"], row["threads"], row["batch"]): row.get("ms_per_face", row.get("times_as_long")) for row in rows
    }
    stage_names = list(dict.fromkeys(row["stage"] for row in rows))
    width = max(map(len, stage_names))
    print("ms per face".ljust(width), *(f"{threads} thr, batch {batch}".rjust(15) for threads, batch in columns))
    for name in stage_names:
        cells = [values.get((name, *column)) for column in columns]
        print(name.ljust(width), *(("-" if ms is None else f"{ms:.2f}").rjust(15) for ms in cells))


def main(arguments=None) -> int:
    """Runs one benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tfface.pipelines.benchmark", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    for name, (configure, _, text) in BENCHMARKS.items():
        sub = names.add_parser(name, help=text)
        configure(sub)
        sub.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    try:
        report = BENCHMARKS[options.name][1](options)
    except (FileNotFoundError, InputError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    if report:
        show(report["rows"])
        if "note" in report:
            print(report["note"])
        if options.json:
            from tfface.output import write_files

            path = Path(options.json)
            write_files(path.parent, {path.name: (json.dumps(report, indent=1) + "\n").encode()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
