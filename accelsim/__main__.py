"""`python -m accelsim`."""

import signal
import sys

try:
    from accelsim.cli import main
except KeyboardInterrupt:  # before there is a command that could say more
    sys.exit(128 + signal.SIGINT)

sys.exit(main())
