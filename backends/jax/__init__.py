"""Techniques that use JAX: ``jax.grad`` derives the gradient, ``jax.jit`` compiles it."""
