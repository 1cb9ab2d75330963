"""What a researcher runs: tf.data sources, training, evaluation (installs as `tfface.pipelines`)."""
