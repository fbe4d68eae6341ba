"""A project as one SQLite file: takes, chunks, frames, latents, settings; every change is one transaction."""
