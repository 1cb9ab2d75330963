"""`python -m tfface` is `tfface`."""

import sys

from tfface.cli import main

sys.exit(main())
