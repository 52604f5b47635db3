"""`python -m abbotik_cli` is `abbotik`."""

import sys

from abbotik_cli.main import main

sys.exit(main())
