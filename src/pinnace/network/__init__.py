"""The network of a node: the host prepared, Pods connected, Services proxied, names answered."""
