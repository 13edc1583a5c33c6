"""What slmroute adds to a call, and how well it routes; see ``__main__``."""
