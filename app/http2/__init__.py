"""A server's side of HTTP/2 (RFC 9113) on asyncio's protocols: frames, header blocks, flow control, limits on floods.

Knows nothing of what is served. `app.protocols.grpc_connection` speaks gRPC over it.
"""
