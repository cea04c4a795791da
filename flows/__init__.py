"""When: the order of the steps, and what a refusal or a failure leads to."""
