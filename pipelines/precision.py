"""Which number format a training computes in."""

from pathlib import Path

PRECISIONS = ("auto", "float32", "mixed_bfloat16")


def fast_precision(cpuinfo: str = "/proc/cpuinfo") -> str:
    """`mixed_bfloat16` if the processor multiplies bfloat16 itself (AVX512-BF16 or AMX), else `float32`."""
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in text or "amx_bf16" in text else "float32"


def policy(precision: str) -> str:
    """The Keras dtype policy of a configuration's `precision`; "auto" asks the processor.

    Raises:
      ValueError: it isn't one of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"expected precision to be one of {', '.join(PRECISIONS)}, received {precision!r}")
    return fast_precision() if precision == "auto" else precision
