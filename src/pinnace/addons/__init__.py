"""What a cluster has besides its own parts: one package per add-on, each a plain API client."""
