"""``python -m slmroute.cli`` is ``slmroute``."""

from slmroute.cli import main

main()
