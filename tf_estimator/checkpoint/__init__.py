"""Checkpoints: their files, their retention, the position of the input, and variables started from them.

May import of the engine's folders: nothing. Start with `files.py`.
"""
