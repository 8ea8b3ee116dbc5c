"""The API server: the one part that opens the store. Requests come in over HTTPS or from this process and take the
same way: authentication, impersonation, flow control, authorization, admission, the store."""
