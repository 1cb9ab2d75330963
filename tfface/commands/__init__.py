"""The verbs of the command line, one module each.

A verb's module has `HELP` (one line), `configure(parser)`, which adds its arguments, and `run(arguments) -> int`, which
returns the exit code. It imports nothing heavy at its top, so that `tfface --help` is quick. To add a verb, write its
module and name it here.
"""

VERBS = {
    "reconstruct": "tfface.commands.reconstruct",
    "track": "tfface.commands.track",
    "app": "tfface.commands.app",
    "demo": "tfface.commands.demo",
    "train": "tfface.commands.train",
    "evaluate": "tfface.commands.evaluate",
    "export": "tfface.commands.export",
    "serve": "tfface.commands.serve",
    "model": "tfface.commands.model",
}
