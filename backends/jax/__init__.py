"""JAX: the gradient by ``jax.grad``, compiled by ``jax.jit``."""
