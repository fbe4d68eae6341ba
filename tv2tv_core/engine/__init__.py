"""The one generation loop and the backends behind its protocol."""
