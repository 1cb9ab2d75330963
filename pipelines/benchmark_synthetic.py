"""What a synthetic face costs, step by step, beside what training spends on one: `pipelines.benchmark synthetic`.

Everything is timed in one process, so that the ratios hold on a busy machine too.
"""

import argparse
import dataclasses

from tfface.pipelines.benchmark import milliseconds

TRAINING = "training, without its data"


def configure(parser: argparse.ArgumentParser):
    """Adds the benchmark's arguments."""
    parser.add_argument("--batch", type=int, default=24, help="faces at a time (default: 24)")
    parser.add_argument("--runs", type=int, default=5, help="calls of which the median is taken (default: 5)")


def run(options) -> dict:
    """Times the synthetic pipeline and training; returns {"rows": […]} as `pipelines.benchmark` shows them."""
    import os

    import tensorflow as tf

    from tfface.morphable.model import MorphableModel
    from tfface.pipelines.synthetic import SyntheticConfig, synthetic_dataset
    from tfface.pipelines.train_coarse import PRESETS, build_trainer

    model, batch = MorphableModel.default(), options.batch
    threads = len(os.sched_getaffinity(0))
    times = {name: milliseconds(step, options.runs) / batch for name, step in steps(model, batch).items()}
    pictures = iter(synthetic_dataset(model, SyntheticConfig(batch=batch)))
    times["the whole pipeline, as tf.data runs it"] = milliseconds(lambda: next(pictures), options.runs) / batch
    release = PRESETS["release"]
    passes = release.passes
    config = dataclasses.replace(release, faces=max(batch // passes, 1), prime_steps=0, initial=None)
    trainer = build_trainer(model, config)
    faces = config.faces
    face = next(pictures)
    data = face["image"][:faces], face["r"][:faces], tf.zeros([faces, 290])
    step = tf.function(trainer.train_step, autograph=False)
    # What it costs per new face: each is seen `passes` times.
    times[TRAINING] = milliseconds(lambda: step(data)["loss"].numpy(), options.runs) / faces
    rows = [{"stage": name, "threads": threads, "batch": batch, "ms_per_face": ms} for name, ms in times.items()]
    whole = times["the whole pipeline, as tf.data runs it"]
    ratio = times[TRAINING] / whole
    note = (
        f"{1000 / whole:.0f} pictures a second; training alone consumes {1000 / times[TRAINING]:.0f} new faces a "
        f"second, each {passes} times: the pipeline is {ratio:.1f} times as fast"
    )
    return {"rows": rows, "note": note, "ratio": ratio}


def steps(model, batch: int) -> dict:
    """Each step of `SyntheticWorld.draw` as a function without arguments."""
    import tensorflow as tf

    from tfface.geometry.mesh import normalize
    from tfface.pipelines.sampling import sample_r
    from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld, background, light, photograph
    from tfface.rendering.visibility import interpolate, rasterize

    config = SyntheticConfig(batch=batch)
    world = SyntheticWorld(model, config)
    seed = tf.constant([1, 2], tf.int64)
    r = sample_r(model, batch, seed, config.sampling)
    vertices, normals, visibility = world.renderer.geometry(r)
    maps = interpolate(visibility, model.triangles, tf.concat([normals, world.albedo(seed)], -1))
    image = world.draw(seed)["image"]

    def fixed(function, *inputs):
        compiled = tf.function(function, autograph=False)
        return lambda: tf.nest.map_structure(lambda t: t.numpy(), compiled(*inputs))

    return {
        "identity, expression and pose": fixed(lambda s: sample_r(model, batch, s, config.sampling), seed),
        "vertices and normals": fixed(lambda r: tuple(world.renderer.geometry(r)[:2]), r),
        "visibility": fixed(lambda v: tuple(rasterize(v, model.triangles, 200, 200, cull=True)), vertices),
        "albedo": fixed(world.albedo, seed),
        "interpolation": fixed(
            lambda t, b, n: interpolate(type(visibility)(t, b), model.triangles, n),
            *visibility,
            tf.concat([normals, world.albedo(seed)], -1),
        ),
        "light and gloss": fixed(lambda n, s: light(normalize(n), config, s), maps[..., :3], seed),
        "background": fixed(lambda s: background(batch, config.size, s), seed),
        "occluders": fixed(world.occluders, image, r, seed),
        "camera": fixed(lambda x, s: photograph(x, config, s), image, seed),
        "a whole picture": fixed(lambda s: world.draw(s)["image"], seed),
    }
