"""The kubelet's own HTTPS server: logs, exec, attach and port-forward for the API server, and facts about its Pods."""
