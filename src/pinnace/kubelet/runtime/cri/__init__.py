"""Containers through the Container Runtime Interface, v1. Imported only where it is used: it brings gRPC."""

import os

# Children are forked only to execute another program; without this gRPC complains on standard error at each of them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
