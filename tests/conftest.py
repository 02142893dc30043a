"""What every test shares: threads that sleep while they wait, as the command line sets it."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
