"""Predictions in other protocols than our JSON: TensorFlow Serving's gRPC services and what they share. Runs in the API
process, imports no TensorFlow; a transport hands in a path, bytes and metadata and gets a status and bytes back.

Start with `rpc_methods.py`; `inference.py` is the way of every call into the batches.
"""
