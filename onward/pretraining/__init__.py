"""Continued pretraining: an encoder, or a causal model, that goes on reading unlabelled text.

sources (a file of texts) -> overlap (none that is held out) -> blocks (tokens, what is masked)
-> pretrain (the training and the sealed folder), perplexity (before and after).
"""
