"""Containers through the Container Runtime Interface, v1. Imported only where it is used: it brings gRPC."""
