"""Pure functions and state machines between the two formats: values in, values out, no IO."""
