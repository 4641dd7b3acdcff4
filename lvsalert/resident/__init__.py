"""The process that stays: it runs mon's plug-ins with everything imported.

What comes in are calls of plug-ins, over a Unix socket; what goes out is how each ended. Nothing
here is needed: a plug-in that gets no answer runs by itself.
"""
