"""A user's tool functions in a process of their own: what they do to it cannot take the trainer down.

runner.py   in the trainer: asks the server, and treats states as bytes that it never unpickles
server.py   the server: imports the functions once, and forks itself for every call
channel.py  what the two say to each other: frames of bytes, bounded in length and time
"""
