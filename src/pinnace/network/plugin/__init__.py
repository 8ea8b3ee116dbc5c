"""CNI plugins that are served by this process instead of being processes."""
