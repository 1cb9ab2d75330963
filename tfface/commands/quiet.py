"""Starting TensorFlow without the lines that its C++ libraries print before they read their own log level."""

import contextlib
import os
import sys
import tempfile


def import_tensorflow():
    """Imports TensorFlow with its start-up chatter held back; if the import fails, what was held back is shown."""
    if "tensorflow" in sys.modules:
        return
    with hidden_stderr():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def hidden_stderr():
    """Holds back what is written to file descriptor 2, also by C code; shows it if the block raises."""
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, AttributeError, ValueError):
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            if failed:
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))
