"""The verbs on resources: one module per verb, and what they share."""
