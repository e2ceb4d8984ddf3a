"""The command line: a module per group of commands, put together in `root.py`.

Imports typer when it starts; httpx and rich when a command needs them, so that help comes at once. Commands return
what they found (`output.Result`) and raise nothing but `typer.Exit`.
"""
