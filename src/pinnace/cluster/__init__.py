"""The composition root: the one place that knows which parts exist, wires them, and starts, watches and stops them."""
