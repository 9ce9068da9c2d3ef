"""Other libraries' interfaces on our kernel and rerankers: importing a module here is asking for it."""
