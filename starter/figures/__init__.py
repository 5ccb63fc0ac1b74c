"""Rendered training figures: seeded people in two garments each, with every label exact."""
