"""Tools to prove a Storage or an engine of one's own, and pipelines built on them.

Needs the extra ``testing`` (pytest and hypothesis).
"""
