"""Who asks, and what they may do: authentication, authorization and the APIs that answer questions about both."""
