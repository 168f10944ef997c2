"""Which activations survive, and what decode steps fetch for them."""
