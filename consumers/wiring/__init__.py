"""What the workers are made of, put together from the resources of their process.

Each handler is wired in the file that has its name in `consumers/handlers/`; a part that several of them have, in a file of
its own.
"""
