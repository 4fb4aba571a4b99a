"""The process of one topology: wires strategy, membership and connector to asyncio, and talks to
its supervisor by a pipe.
"""
