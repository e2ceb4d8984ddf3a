"""Client and command line of the service, without TensorFlow or server code.

Imports httpx, typer and rich only. Start with `client.py`.
"""
