"""HTTP/1.1 over TLS for the API server: an asyncio protocol on httptools, as small and fast as its use allows."""
