"""One worker per Pod: it asks the lifecycle what to do, does it, and tells the API server."""
