"""The cluster's DNS server: records computed (pure), a wire format of its own, forwarding of everything else."""
