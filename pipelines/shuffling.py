"""An endless shuffle that can start anywhere: batch n is a function of n and the seed alone.

A resumed training continues with exactly the batches that an uninterrupted one would have seen, with no
iterator state to save.
"""

import tensorflow as tf


def seekable_indices(count: int, batch_size: int, seed: int, start: int = 0) -> tf.data.Dataset:
    """Batches of indices 0…count−1, every index once per round, in a new order each round.

    Args:
        count: number of samples, ≥ 1.
        batch_size: indices per batch.
        seed: of all orders.
        start: the number of the first batch.

    Returns:
        An endless dataset of (position int64 [B], index int64 [B]); position counts samples from the very
        first one and seeds each sample's augmentation.

    Raises:
        ValueError: count is not positive.
    """
    if count < 1:
        raise ValueError(f"expected at least one sample, received {count}")

    @tf.autograph.experimental.do_not_convert
    def one_batch(step):
        position = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        first = position[0] // count
        # A batch may straddle rounds; with more rounds than two per batch, the order of the rest repeats
        # modulo count.
        order = tf.stack([_order(count, seed, first), _order(count, seed, first + 1)])
        which = tf.minimum(position // count - first, 1)
        return position, tf.gather_nd(order, tf.stack([which, position % count], axis=-1))

    return tf.data.Dataset.range(start, tf.int64.max).map(one_batch, num_parallel_calls=1)


def _order(count, seed, round_number):
    pair = tf.stack([tf.constant(seed, tf.int64), tf.cast(round_number, tf.int64)])
    return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), pair)
