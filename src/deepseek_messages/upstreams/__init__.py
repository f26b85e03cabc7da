"""Where tokens come from. Every kind of upstream is one class behind one protocol."""
