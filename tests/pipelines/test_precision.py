"""The number format of a training."""

import pytest

from tfface.pipelines.precision import fast_precision, policy


def test_auto_follows_the_processor(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("flags : avx2 fma")
    assert fast_precision(path) == "float32"
    path.write_text("flags : avx2 avx512_bf16")
    assert fast_precision(path) == "mixed_bfloat16"
    assert fast_precision(tmp_path / "none") == "float32"
    assert policy("auto") == fast_precision()


def test_anything_else_is_taken_or_refused_by_name():
    assert policy("mixed_bfloat16") == "mixed_bfloat16"
    with pytest.raises(ValueError, match="expected precision to be one of auto, float32, mixed_bfloat16"):
        policy("half")
