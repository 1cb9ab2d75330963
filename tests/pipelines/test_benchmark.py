"""The benchmark's yardsticks: the C z-buffer sees what ours sees, and operations are counted right."""

import json
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.export import small
from tfface.export.graph import FaceGraph
from tfface.morphable import representation
from tfface.networks.pretrained import save_pretrained
from tfface.pipelines import benchmark
from tfface.rendering.visibility import rasterize


def test_c_z_buffer_sees_what_ours_sees(model, tmp_path):
    z_buffer = benchmark.compile_z_buffer(tmp_path)
    if z_buffer is None:
        pytest.skip("no C compiler")
    r = np.zeros((1, 290), np.float32)
    r[0, 284:] = 0.1, -0.4, 0.1, 0.05, 0.1, 0.0
    vertices = representation.vertices_image(model, tf.constant(r), 100).numpy()
    depth, seen = z_buffer(vertices[0], model.triangles, 100)
    ours = rasterize(vertices, model.triangles, 100, 100, cull=True).triangle[0].numpy()
    assert ((seen >= 0) == (ours >= 0)).mean() > 0.999
    assert (seen == ours).mean() > 0.99  # neighbours share their edges
    assert np.all(np.isfinite(depth) == (seen >= 0))
    pytest.importorskip("ai_edge_litert")
    lite = benchmark.lite_visibility(model.triangles, vertices, 100, 1)()[0]
    assert (lite == ours).mean() > 0.999


def test_operations_of_convolutions_and_products():
    def function(x):
        x = tf.nn.conv2d(x, tf.zeros([3, 3, 3, 4]), 2, "SAME")  # 5×5×4 outputs of 27 products
        x = tf.nn.conv2d_transpose(x, tf.zeros([2, 2, 5, 4]), [1, 10, 10, 5], 2)  # 5×5×4 inputs into 20
        x = tf.nn.depthwise_conv2d(x, tf.zeros([3, 3, 5, 1]), [1, 1, 1, 1], "SAME")  # 10×10×5 outputs of 9
        return tf.matmul(tf.reshape(x, [-1, 500]), tf.zeros([500, 7]))

    concrete = tf.function(function).get_concrete_function(tf.TensorSpec([None, 10, 10, 3]))
    assert benchmark.multiplications(concrete) == 2 * (100 * 27 + 100 * 20 + 500 * 9 + 500 * 7)


def test_stages_cover_the_path():
    networks = small.networks()
    runs = benchmark.stages(networks, FaceGraph(networks, small.SIZE), small.crops(1))
    assert len(runs) == 8
    for name, run in runs.items():
        assert benchmark.milliseconds(run, 1) > 0, name


def test_how_many_times_as_long_is_measured_in_turns():
    calls = []

    def waits(name, seconds):
        return lambda: calls.append(name) or time.sleep(seconds)

    ratio = benchmark.times_as_long(waits("run", 0.03), waits("yardstick", 0.01), 5)
    assert 1.5 < ratio < 3.5
    assert calls == ["yardstick", "run"] * 7


def test_the_table_and_the_file(tmp_path, capsys, monkeypatch):
    rows = [
        {"stage": "a", "threads": 1, "batch": 1, "ms_per_face": 1.234},
        {"stage": "b", "threads": 2, "batch": 8, "ms_per_face": 5.0},
        {"stage": "a, times b", "threads": 1, "batch": 1, "times_as_long": 1.5},
    ]
    entry = (benchmark.BENCHMARKS["export"][0], lambda options: {"rows": rows}, "fake")
    monkeypatch.setitem(benchmark.BENCHMARKS, "export", entry)
    assert benchmark.main(["export", "--json", str(tmp_path / "out" / "b.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["a", "1.23", "-"] and lines[2].split() == ["b", "-", "5.00"]
    assert lines[3].split() == ["a,", "times", "b", "1.50", "-"]
    assert json.loads((tmp_path / "out" / "b.json").read_text())["rows"] == rows


def test_a_missing_model_is_named(tmp_path, capsys):
    assert benchmark.main(["export", "--model", str(tmp_path)]) == 2
    assert "expected a trained model" in capsys.readouterr().err


@pytest.mark.slow
def test_a_whole_run_on_a_small_model(tmp_path, capfd):
    save_pretrained(small.networks(), tmp_path / "model")
    arguments = ["export", "--model", str(tmp_path / "model"), "--threads", "1", "--batches", "2", "--runs", "1"]
    assert benchmark.main([*arguments, "--formats", "tflite", "tflite-int8", "--json", str(tmp_path / "b.json")]) == 0
    rows = json.loads((tmp_path / "b.json").read_text())["rows"]
    stages = [row["stage"] for row in rows]
    assert "GFLOP as matrix products" in stages[0]
    assert {"whole path in tflite", "whole path in tflite-int8", "FineNet"} <= {*stages}
    assert all(row.get("ms_per_face", 1.0) > 0 and row["threads"] == 1 and row["batch"] == 2 for row in rows)
    ratios = {row["stage"]: row["times_as_long"] for row in rows if "times_as_long" in row}
    assert {"whole path in tflite, times the products", "whole path in tflite-int8, times the products"} <= {*ratios}
    assert all(ratio > 0 for ratio in ratios.values())
    assert "1 thr, batch 2" in capfd.readouterr().out
