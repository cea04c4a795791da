"""Where what is learned goes: one set of weights, or several.

A structure is a module with two functions: `fit(job) -> Trained` makes the candidate, and
`remember(job, trained, folder)` writes what it carries forward into an empty folder.
"""
