"""The ``pinnace`` command: one module per verb. Imports stay inside the verbs: start-up time is a feature."""
