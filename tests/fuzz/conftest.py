"""``run.py`` is a script with its modules beside it; here they are found as it finds them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
