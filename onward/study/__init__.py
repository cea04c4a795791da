"""The study: ways to learn compared over a sequence of episodes, at equal compute."""
