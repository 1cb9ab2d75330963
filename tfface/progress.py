"""How far a long command is."""

from collections.abc import Iterable, Iterator


def tracked(steps: Iterable, description: str, total: int | None = None) -> Iterator:
    """Passes `steps` on while a bar on the terminal counts them.

    The bar goes to standard error and vanishes at the end; into a file or a pipe it writes nothing.

    Args:
      steps: what is passed on.
      description: what they are, in a word or two.
      total: how many, where they have no length.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(steps, description, total=total, console=console, transient=True, disable=not console.is_terminal)
