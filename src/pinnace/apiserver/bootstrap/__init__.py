"""What a cluster holds from the start, written or brought up to date before the API server is ready."""
