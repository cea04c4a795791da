"""What a strategy adds to the loss of a batch so that the old is kept, one module per term.

A term is a module with three functions:

    past(job, model, device)              what it needs, made before training; None: nothing to keep
    loss(model, batch, outputs, past)     what it adds to the mean loss of the batch
    remember(job, trained, rows, folder)  what it leaves in the memory for the next turn

`batch` holds the inputs and targets, `window` [B], the numbers of its windows, and `recalled` [B],
whether their rows came from memory. The loss of the recipe is already the mean over the batch.
"""
