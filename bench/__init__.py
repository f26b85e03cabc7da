"""Side-by-side measurements: ratios to nginx in the same run, on the same machine."""
