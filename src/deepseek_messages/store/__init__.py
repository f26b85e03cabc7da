"""What is kept on disk: keys of callers, and model files."""
