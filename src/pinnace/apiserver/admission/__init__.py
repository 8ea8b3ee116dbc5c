"""Admission: the built-in plugins, one per module, and the chain that runs them in upstream's order."""
