"""Services by nftables: rules computed (pure), the kernel told of differences."""
