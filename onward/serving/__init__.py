"""Answers from the champion."""
