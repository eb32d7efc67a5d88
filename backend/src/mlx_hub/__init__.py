import os

# Before anybody imports Transformers, which else advises to install PyTorch, in a line of its own between the events of the log.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
