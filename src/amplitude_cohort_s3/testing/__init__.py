"""Tools to test your own storage or engine, and pipelines that use them.

Needs the extra ``testing`` (pytest and hypothesis).
"""
