"""One module per kind of task. A recipe is a module with the functions of `extractive.py`."""
