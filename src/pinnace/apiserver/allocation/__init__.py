"""Cluster IPs and node ports of Services."""
