"""`tfface VERB`: finds the verb, runs it, and turns errors into sentences and exit codes.

Exit codes: 0 everything asked for was done; 1 a photo failed or had no face, or a result couldn't be written; 2 wrong
usage: arguments, a model or an output folder that can't be used; 130 interrupted.
"""

import argparse
import os
import sys
from importlib import import_module

from tfface.commands import VERBS
from tfface.errors import InputError, OutputError
from tfface.version import __version__

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="tfface",
        description="A detailed 3D face from a single photograph.",
        epilog="`tfface VERB --help` tells more. Exit codes: 0 all done, 1 a photo failed or had no face, "
        "2 wrong usage, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"tfface {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, module_name in VERBS.items():
        module = import_module(module_name)
        verb_parser = verbs.add_parser(verb, help=module.HELP, description=module.__doc__)
        verb_parser.formatter_class = argparse.RawDescriptionHelpFormatter
        module.configure(verb_parser)
        verb_parser.set_defaults(run=module.run, verb_parser=verb_parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
      argv: arguments without the program's name; `sys.argv` by default.

    Returns:
      The exit code (wrong usage and --help leave through SystemExit, as argparse does).
    """
    # Before anything imports TensorFlow: its start-up log is for its developers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if hasattr(sys.stdout, "reconfigure"):
        # A photo's name that the terminal can't show is no reason to stop.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        arguments = build_parser().parse_args(argv)
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("tfface: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left (`tfface … | head`): nothing more to say, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except InputError as error:
        print(f"tfface: {error}", file=sys.stderr)
        return USAGE
    except OutputError as error:
        print(f"tfface: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
