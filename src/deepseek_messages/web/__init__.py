"""HTTP: requests in, answers and streams out. ``app`` is where the parts are joined."""
