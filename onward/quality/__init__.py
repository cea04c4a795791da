"""What generated answers are worth beside the recipe's own metric, and whom they treat alike."""
